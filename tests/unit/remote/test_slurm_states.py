# SPDX-License-Identifier: Apache-2.0
"""The state of a job on Slurm follows from its files, and from what squeue says."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlcube_remote.remote import slurm_scheduler
from tests.support.fake_slurm import FakeSlurm
from tests.support.shell_library import SHELLS, Completed, age, records
from tests.support.waiting import wait_for

Scheduler = Callable[..., Completed]


@pytest.fixture(params=SHELLS)
def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> Scheduler:
    """Return a function that runs the scheduler's commands in one of the shells."""
    program = tmp_path / "scheduler"
    program.write_text(slurm_scheduler())

    def run(*words: str | Path) -> Completed:
        return subprocess.run(
            [*SHELLS[request.param], program, *words],
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "HOME": str(tmp_path)},
        )

    return run


def submitted(job: Path, number: str = "7", *, owner: str = "") -> None:
    """Write the files of a job that was submitted, and whose supervisor started on a node."""
    for folder in ("slurm", "tasks/1"):
        (job / folder).mkdir(parents=True)
    (job / "slurm/id").write_text(f"{number}\n")
    (job / "tasks/1/exit.pending").touch()
    if owner:
        (job / "owner").write_text(f"boot 1 2 {owner}\n")


@pytest.mark.parametrize(
    ("word", "owner", "expected"),
    [
        ("PENDING", "", "queued"),
        ("CONFIGURING", "", "queued"),
        ("REQUEUE_HOLD", "", "queued"),
        ("PENDING", "node1", "running"),
        ("RUNNING", "node1", "running"),
        ("COMPLETING", "node1", "running"),
        ("SUSPENDED", "node1", "running"),
        *((word, "", "queued") for word in ("REQUEUED", "REQUEUE_FED", "SPECIAL_EXIT")),
        *((word, "", "queued") for word in ("POWER_UP_NODE", "RESV_DEL_HOLD")),
        *((word, "n1", "running") for word in ("STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")),
        ("REVOKED", "", "unknown"),
        ("SOMETHING_NEW", "", "unknown"),
        ("SOMETHING_NEW", "node1", "unknown"),
        ("CANCELLED", "", "ended"),
    ],
)
def test_states_of_slurm(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm, word: str, owner: str, expected: str
) -> None:
    submitted(job, owner=owner)
    slurm.queue(
        "17|FAILED|x|1:00|None", f"7|{word}|mlcr-j1|1:00|ReqNodeNotAvail, UnavailableNodes:n1"
    )
    assert scheduler("state", job).stdout.decode().strip() == expected


@pytest.mark.parametrize(
    "word",
    [
        *("NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "DEADLINE", "FAILED", "OUT_OF_MEMORY"),
        *("COMPLETED", "CANCELLED", "PREEMPTED"),
    ],
)
def test_the_record_of_an_end_may_come_late_and_then_its_absence_counts(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm, word: str
) -> None:
    submitted(job, owner="node1")
    slurm.queue(f"7|{word}|mlcr-j1|0:00|None")
    assert scheduler("state", job).stdout == b"running\n", "a network file system may be slow"
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    assert scheduler("state", job).stdout == b"lost\n"
    assert dict(records(scheduler("report", job)))["scheduler"] == word
    asked = len(slurm.calls("squeue"))
    assert scheduler("state", job).stdout == b"lost\n"
    assert len(slurm.calls("squeue")) == asked, "the end is known"


def test_a_recorded_end_counts_more_than_what_slurm_says(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.queue("7|NODE_FAIL|mlcr-j1|0:00|None")
    (job / "tasks/1/exit.pending").rename(job / "tasks/1/exit.0")
    assert scheduler("state", job).stdout == b"ended\n"


def test_a_job_that_slurm_has_forgotten_is_lost(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.queue("8|RUNNING|other|1:00|None")
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    assert scheduler("state", job).stdout == b"lost\n"
    assert dict(records(scheduler("report", job)))["scheduler"] == "ABSENT"


def test_the_accounting_is_asked_about_forgotten_jobs(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    (slurm.folder / "sacct").write_text("#!/bin/sh\necho 'NODE_FAIL'\necho 'CANCELLED by 4711'\n")
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    assert scheduler("state", job).stdout == b"lost\n"
    assert dict(records(scheduler("report", job)))["scheduler"] == "CANCELLED by 4711"


@pytest.mark.parametrize(
    ("answer", "end"), [("CANCELLED by 4711", "CANCELLED by 4711"), ("RUNNING", "CANCELLED")]
)
def test_the_accounting_is_asked_who_cancelled_a_job(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm, answer: str, end: str
) -> None:
    submitted(job, owner="node1")
    slurm.queue("7|CANCELLED|mlcr-j1|0:00|None")
    (slurm.folder / "sacct").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    assert scheduler("state", job).stdout == b"lost\n"
    assert dict(records(scheduler("report", job)))["scheduler"] == end


def test_a_silent_controller_makes_the_state_unknown(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.set("down")
    assert scheduler("state", job).stdout == b"unknown\n"


def test_following_100_jobs_is_at_most_one_question_in_30_seconds(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    jobs = [job.with_name(f"j{number}") for number in range(1, 101)]
    for number, each in enumerate(jobs, 1):
        submitted(each, str(number), owner="node1")
    slurm.queue(*(f"{number}|RUNNING|x|1:00|None" for number in range(1, 101)))
    kept = job.parent.parent / "slurm-queue"
    began, passed = time.monotonic(), 0
    for each in jobs:
        assert scheduler("state", each).stdout == b"running\n"
    for _ in range(3):
        # As if 20 seconds had passed.
        asked_at, _, listing = kept.read_text().partition(" ")
        kept.write_text(f"{int(asked_at) - 20} {listing}")
        passed += 20
        for each in jobs[:10]:
            assert scheduler("state", each).stdout == b"running\n"
    passed += int(time.monotonic() - began)
    assert len(slurm.calls("squeue")) <= 1 + passed / 30


def test_many_who_ask_at_the_same_time_are_one_question(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.queue("7|RUNNING|x|1:00|None")
    slurm.set("slow")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(scheduler, "state", job) for _ in range(4)]
        wait_for((job.parent.parent / "slurm-queue.lock").exists)
        wait_for(lambda: bool(slurm.calls("squeue")))
        slurm.set("slow", to=False)
        assert {answer.result().stdout for answer in answers} == {b"running\n"}
    assert len(slurm.calls("squeue")) == 1


def test_the_lock_of_a_shell_that_died_does_not_count(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.queue("7|RUNNING|x|1:00|None")
    lock = job.parent.parent / "slurm-queue.lock"
    lock.mkdir()
    age(lock, 100)
    assert scheduler("state", job).stdout == b"running\n"
    assert not lock.exists()


def test_a_job_that_was_just_submitted_needs_no_question_of_its_own(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, "8", owner="node1")
    slurm.queue("8|RUNNING|x|1:00|None")
    assert scheduler("state", job).stdout == b"running\n"
    newer = job.with_name("j2")
    submitted(newer, "9")
    (newer / "slurm/submitted").write_text(f"{int(time.time())}\n")
    assert dict(records(scheduler("report", newer))) == {"slurm": "9", "queued": "Starting"}
    assert len(slurm.calls("squeue")) == 1


def test_an_answer_from_before_the_submission_does_not_count(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, "8", owner="node1")
    slurm.queue("8|RUNNING|x|1:00|None")
    assert scheduler("state", job).stdout == b"running\n"
    newer = job.with_name("j2")
    submitted(newer, "9")
    slurm.queue("8|RUNNING|x|1:00|None", "9|PENDING|x|1:00|Priority")
    assert scheduler("state", newer).stdout == b"queued\n"


def test_a_job_that_was_never_submitted_is_lost_after_a_minute(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job)
    (job / "slurm/id").unlink()
    assert scheduler("state", job).stdout == b"queued\n"
    age(job / "tasks", 100)
    assert scheduler("state", job).stdout == b"lost\n"
    assert dict(records(scheduler("report", job)))["scheduler"] == "NOT_SUBMITTED"
    assert slurm.calls("sbatch") == []


def test_a_queued_job_reports_why_it_waits(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job)
    slurm.queue("7|PENDING|mlcr-j1|1:00|ReqNodeNotAvail, UnavailableNodes:n[1-2]")
    report = dict(records(scheduler("report", job)))
    assert report == {"slurm": "7", "queued": "ReqNodeNotAvail, UnavailableNodes:n[1-2]"}


def test_a_batch_job_that_never_reached_the_supervisor_shows_its_log(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job)
    (job / "supervise.log").write_text("Lmod: module apptainer was not found\n")
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    slurm.queue("7|FAILED|mlcr-j1|0:00|NonZeroExitCode")
    assert scheduler("state", job).stdout == b"lost\n"
    report = dict(records(scheduler("report", job)))
    assert report["log_end"] == "Lmod: module apptainer was not found"


def test_an_answer_that_cannot_be_kept_counts_all_the_same(
    scheduler: Scheduler, job: Path, slurm: FakeSlurm
) -> None:
    submitted(job, owner="node1")
    slurm.queue("7|RUNNING|mlcr-j1|1:00|None")
    # As on a full disk: no file can take this name.
    (job.parent.parent / "slurm-queue").mkdir()
    assert scheduler("state", job).stdout == b"running\n"
    slurm.set("down")
    assert scheduler("state", job).stdout == b"unknown\n"
