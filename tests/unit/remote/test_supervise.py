# SPDX-License-Identifier: Apache-2.0
"""The supervisor runs the tasks in order and limits their time and their logs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
    claim,
    launch,
    state,
    task_report,
    write_program,
)
from tests.support.waiting import wait_for


def test_tasks_run_in_order_until_one_fails(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "it's $(a job)"
    scripts = ("echo one; echo err >&2", "printf 'two'; exit 5", "echo three")
    assert launch(call, job, *scripts).returncode == 0
    first = call("mlcr_follow_task", str(job), "1", "0", "0")
    second = call("mlcr_follow_task", str(job), "2", "0", "0")
    assert first.returncode == second.returncode == 0
    assert (job / "tasks/1/stdout").read_bytes() == b"one\n"
    assert (job / "tasks/1/stderr").read_bytes() == b"err\n"
    report = task_report(call, job)
    assert (report["exit"], report["stdout"], report["stderr"]) == ("0", "4", "4")
    assert task_report(call, job, 2)["exit"] == "5"
    assert task_report(call, job, 3)["exit"] == "pending"
    assert (job / "tasks/3/stdout").read_bytes() == b""
    assert call("mlcr_print_bytes", str(job / "tasks/2/stdout"), "1").stdout == b"wo"


def test_the_private_directories_of_a_task_end_with_it(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "it's $(a job)"
    claim(call, job)
    for number in (1, 2):
        (job / f"private/{number}/tmp").mkdir(parents=True)
        (job / f"private/{number}/tmp/file").touch()
    script = f"ls '{tmp_path}/jobs/'*/private"
    assert launch(call, job, script, script).returncode == 0
    wait_for(lambda: state(call, job) == "ended")
    wait_for(lambda: not list((job / "private").iterdir()))
    assert (job / "tasks/1/stdout").read_bytes() == b"1\n2\n"
    assert (job / "tasks/2/stdout").read_bytes() == b"2\n"


def test_following_ends_if_the_supervisor_is_killed(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "sleep 30")
    owner = job / "owner"
    started = job / "tasks/1/group"
    wait_for(lambda: started.exists() and started.read_text() and owner.exists())
    group = int((job / "tasks/1/group").read_text())
    os.kill(int(owner.read_text().split()[1]), 9)
    os.killpg(group, 9)
    assert call("mlcr_follow_task", str(job), "1", "0", "0").returncode == 0
    # The parent of a dead process takes a moment to reap it.
    wait_for(lambda: task_report(call, job).get("container") == "absent")
    report = task_report(call, job)
    assert (report["exit"], report["alive"]) == ("pending", "no")
    assert state(call, job) == "lost"


def test_a_task_is_stopped_at_its_time_limit(call: Call, job: Path) -> None:
    began = time.monotonic()
    launch(call, job, "sleep 60", "echo never", timeout="1")
    wait_for(lambda: state(call, job) == "ended")
    assert time.monotonic() - began < 15
    report = task_report(call, job)
    assert (report["exit"], report["timedout"]) == ("143", "yes")
    assert task_report(call, job, 2)["exit"] == "pending"


def test_a_task_that_ignores_sigterm_is_killed_after_its_grace(call: Call, job: Path) -> None:
    began = time.monotonic()
    launch(call, job, "trap '' TERM; sleep 60 & wait; sleep 60", timeout="1 2")
    wait_for(lambda: state(call, job) == "ended")
    assert 2.5 < time.monotonic() - began < 40, "one second, and two for the grace"
    report = task_report(call, job)
    assert (report["exit"], report["timedout"]) == ("137", "yes")


def test_a_task_that_ended_does_not_reach_its_limit_while_its_end_is_recorded(
    call: Call, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The supervisor asks for the time at the end of a task.
    text = f'#!/bin/sh\n[ ! -e {tmp_path}/slow ] || sleep 3\nexec {shutil.which("date")} "$@"\n'
    write_program(tmp_path / "date", text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    launch(call, job, f"touch {tmp_path}/slow; exit 3", timeout="1")
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report.get("timedout")) == ("3", None)


def test_a_short_task_leaves_no_timer_behind(call: Call, job: Path) -> None:
    launch(call, job, "true", timeout="34567")
    wait_for(lambda: state(call, job) == "ended")
    wait_for(lambda: b"34567" not in subprocess.run(["ps", "ax"], stdout=-1, check=True).stdout)
    assert "timedout" not in task_report(call, job)


@pytest.mark.parametrize("size", [0, 511, 512, 100_000])
def test_a_log_within_its_limit_is_complete(call: Call, job: Path, size: int) -> None:
    launch(call, job, f"head -c {size} /dev/zero; echo err >&2", limit=100_352)
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["stdout"], report["stderr"], report.get("cut")) == (str(size), "4", None)


def test_a_log_is_cut_at_its_limit_while_the_task_continues(call: Call, job: Path) -> None:
    launch(call, job, "head -c 5000000 /dev/zero; echo done >&2; exit 3", limit=4096)
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    log = (job / "tasks/1/stdout").read_bytes()
    assert (report["exit"], report["cut"]) == ("3", "yes")
    # Shells count the limit in blocks of 512 or of 1024 bytes.
    assert log.startswith(bytes(4096))
    assert log.count(0) in {4096, 8192}
    assert b"the log is cut here" in log
    assert (job / "tasks/1/stderr").read_bytes() == b"done\n"


def test_a_full_disk_neither_stops_nor_blocks_the_task(call: Call, job: Path) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    other = job.with_name("full")
    launch(call, other, "sleep 0.3; head -c 3000000 /dev/zero; exit 4", limit=10**9)
    (other / "tasks/1/stdout").unlink()
    (other / "tasks/1/stdout").symlink_to("/dev/full")
    wait_for(lambda: state(call, other) == "ended")
    assert [path.name for path in (other / "tasks/1").glob("exit.*")] == ["exit.4"]


def test_the_engine_may_report_late_that_memory_ran_out(
    call: Call, job: Path, engine: Path
) -> None:
    late = f"(sleep 0.3; echo exited 137 true >{engine.parent}/state)"
    (engine.parent / "state").write_text("exited 137 false \n")
    script = f"echo cid >{job}/tasks/1/cid; {late} >/dev/null 2>&1 & exit 137"
    launch(call, job, script, engine=str(engine), container="c")
    wait_for(lambda: state(call, job) == "ended")
    assert task_report(call, job)["inspect"].strip() == "exited 137 true"


def test_a_supervisor_that_cannot_write_its_identity_starts_nothing(call: Call, job: Path) -> None:
    claim(call, job)
    (job / "owner.new").mkdir()
    launch(call, job, "echo never")
    time.sleep(0.5)
    assert task_report(call, job)["stdout"] == "0"
    assert not (job / "tasks/1/started").exists()


def test_a_time_limit_works_without_a_start_time(call: Call, job: Path) -> None:
    claim(call, job)
    launch(call, job, "sleep 60", timeout="1")
    (job / "tasks/1/started").unlink(missing_ok=True)
    wait_for(lambda: state(call, job) == "ended")
    assert task_report(call, job)["timedout"] == "yes"


@pytest.mark.parametrize("mark", ["timedout", "degraded", "removed"])
def test_a_mark_that_cannot_be_written_ends_nothing_but_the_task(
    call: Call, job: Path, mark: str
) -> None:
    """In dash, ``:`` ends the shell if its output cannot be opened, as on a full disk."""
    claim(call, job)
    launch(call, job, "sleep 60", timeout="2")
    (job / "tasks/1" / mark).mkdir()
    wait_for(lambda: state(call, job) == "ended")
    assert task_report(call, job)["exit"] == "143"
