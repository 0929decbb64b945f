# SPDX-License-Identifier: Apache-2.0
"""A last Ctrl-C ends the program, whatever its threads wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import threading
from mlcube_remote import app
from mlcube_remote.app import host_queries
from mlcube_remote.cli.main import main

def interrupted(*_, **__):
    threading.Thread(target=threading.Event().wait).start()  # Python would wait for it
    raise KeyboardInterrupt

host_queries.read_usage = app.run.run = interrupted
main()
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["hosts", "top"], "interrupted\n"),
        (["run"], "interrupted; jobs may still be running: mlcube-remote ps lists them\n"),
    ],
)
def test_an_interrupt_does_not_wait_for_threads(command: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command, "--host=somebody@127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == f"\n{expected}"
