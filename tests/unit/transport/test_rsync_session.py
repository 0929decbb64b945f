# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C on the terminal does not reach the rsync of a transfer."""

from __future__ import annotations

import os
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
