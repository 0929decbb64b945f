# SPDX-License-Identifier: Apache-2.0
"""A job is claimed once and launched once."""

from __future__ import annotations

import threading
from pathlib import Path

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import (
    Call,
    Completed,
    claim,
    launch,
    state,
    task_report,
)
from tests.support.waiting import wait_for


def test_simultaneous_launches_start_the_job_once(call: Call, job: Path, tmp_path: Path) -> None:
    claim(call, job)
    done: list[Completed] = []

    def race() -> None:
        done.append(launch(call, job, f"echo x >>{tmp_path}/count"))

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    wait_for(lambda: state(call, job) == "ended")
    assert sorted(each.returncode for each in done) == [0, 17, 17, 17]
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_repeated_launch_prepares_nothing(call: Call, job: Path, tmp_path: Path) -> None:
    launch(call, job, "true")
    late = tmp_path / "made late"
    assert (
        launch(
            call, job, "true", expected=quote_words(["0", str(tmp_path), "", str(late)])
        ).returncode
        == 17
    )
    assert not late.exists()


def test_a_launch_that_fails_reports_the_reason_and_can_be_repeated(call: Call, job: Path) -> None:
    claim(call, job)
    (job / "tasks.new").touch()
    refused = launch(call, job, "true")
    assert (refused.returncode, state(call, job)) == (1, "preparing")
    assert b"tasks.new" in refused.stderr
    assert launch(call, job, "true").returncode == 0


def test_a_job_that_will_not_be_launched_is_released(call: Call, job: Path) -> None:
    lock = job.parent.parent / "lock"
    claim(call, job, lock)
    assert call("mlcr_release_job", str(job)).returncode == 0
    assert state(call, job) == "absent"
    assert claim(call, job.with_name("next"), lock).returncode == 0
    launched = job.with_name("launched")
    assert launch(call, launched, "true").returncode == 0
    assert call("mlcr_release_job", str(launched)).returncode == 17
    wait_for(lambda: state(call, launched) == "ended")


def test_a_job_is_claimed_once(call: Call, tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "j"
    assert launch(call, job, "true").returncode == 0
    assert launch(call, job, "true").returncode == 17


def test_tasks_do_not_run_unless_their_paths_could_be_prepared(call: Call, tmp_path: Path) -> None:
    made, blocked = tmp_path / "made here", tmp_path / "a file"
    blocked.touch()
    first, second = tmp_path / "jobs" / "first", tmp_path / "jobs" / "second"

    assert (
        launch(
            call, first, f"ls '{made}'", expected=quote_words(["0", str(tmp_path), "", str(made)])
        ).returncode
        == 0
    )
    wait_for(lambda: task_report(call, first)["exit"] != "pending")
    assert task_report(call, first)["exit"] == "0"

    refused = launch(
        call, second, "true", expected=quote_words(["0", str(tmp_path), "", f"{blocked}/below"])
    )
    assert refused.returncode == 18
    assert b"a file" in refused.stderr
    assert not (second / "tasks").exists()
