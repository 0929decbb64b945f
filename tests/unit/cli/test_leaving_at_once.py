# SPDX-License-Identifier: Apache-2.0
"""A last Ctrl-C ends the program, whatever its threads wait for."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading
from mlcube_remote.app import host_queries
from mlcube_remote.cli.main import main

def interrupted(*_, **__):
    threading.Thread(target=threading.Event().wait).start()  # Python would wait for it
    raise KeyboardInterrupt

host_queries.read_usage = interrupted
main()
"""


def test_an_interrupt_does_not_wait_for_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "hosts", "top", "--host=somebody@127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted; jobs may still be running: mlcube-remote ps lists them" in done.stderr
    assert "Traceback" not in done.stderr
