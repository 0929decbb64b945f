# SPDX-License-Identifier: Apache-2.0
"""What a task writes is passed on until it ends."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.shell_library import (
    Call,
    launch,
    task_report,
)
from tests.support.waiting import wait_for


def test_the_offset_of_the_last_lines_is_found(call: Call, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthree\n")
    assert call("mlcr_print_tail_offset", str(log), "2").stdout == b"4\n"
    assert call("mlcr_print_tail_offset", str(log), "0").stdout == b"14\n"
    assert call("mlcr_print_tail_offset", str(log), "9").stdout == b"0\n"
    assert call("mlcr_print_tail_offset", str(tmp_path / "none"), "9").stdout == b"0\n"


def test_following_passes_on_the_output_until_the_task_ends(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "echo early; sleep 0.5; echo late")
    wait_for(lambda: (job / "tasks/1/stdout").stat().st_size == len("early\n"))
    began = time.monotonic()
    followed = call("mlcr_follow_task", str(job), "1", "2", "0")
    assert time.monotonic() - began < 5
    assert b"rly\nlate\n".startswith(followed.stdout)
    assert followed.stderr == b""
    assert task_report(call, job)["stdout"] == "11"


def test_the_channel_closes_when_the_task_ends(call: Call, tmp_path: Path) -> None:
    def seconds(name: str) -> float:
        launch(call, tmp_path / "jobs" / name, "sleep 0.2")
        began = time.monotonic()
        call("mlcr_follow_task", str(tmp_path / "jobs" / name), "1", "0", "0")
        return time.monotonic() - began

    # The process that polls every two seconds must not hold the channel open.
    assert any(seconds(name) < 1.9 for name in ("a", "b", "c"))
