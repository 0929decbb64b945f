# SPDX-License-Identifier: Apache-2.0
"""The rsync of a transfer: Ctrl-C does not reach it, and its last message is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlcube_remote.transport import rsync_relay


def test_rsync_is_not_in_the_process_group_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "rsync"
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = tmp_path / "pipes"
    folder.mkdir()
    pipes = rsync_relay._Pipes.create(folder)
    process = rsync_relay._start_rsync([], pipes)
    try:
        assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    finally:
        process.communicate(b"")
        pipes.close()


def test_a_message_is_kept_that_comes_just_before_the_end() -> None:
    process = subprocess.Popen(
        # The remote shell keeps the pipes open.
        ["sh", "-c", "sleep 5 & sleep 0.5; echo why >&2; exit 12"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def wait_for_end() -> None:
        if process.returncode is None:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    shown = rsync_relay._communicate(process, b"", None, wait_for_end)
    assert (process.returncode, shown) == (12, (b"", b"why\n"))
