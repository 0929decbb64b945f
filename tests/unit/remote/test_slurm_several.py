# SPDX-License-Identifier: Apache-2.0
"""Several jobs share one batch job: they run one after the other, and each has its own record."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.fake_slurm import FakeSlurm, options_of, start
from tests.support.shell_library import Call, Completed, facts, state, task_report
from tests.support.waiting import wait_for


@pytest.fixture
def jobs(job: Path) -> list[Path]:
    return [job.with_name(f"j{number}") for number in range(1, 4)]


def submit(call: Call, jobs: list[Path]) -> Completed:
    return call("mlcr_submit_together", options_of(jobs[0]), *map(str, jobs))


def states(call: Call, jobs: list[Path]) -> list[str]:
    return [state(call, each) for each in jobs]


def test_jobs_run_in_one_batch_job_and_a_failure_does_not_end_the_others(
    call: Call, jobs: list[Path], slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, each in enumerate(jobs):
        monkeypatch.setenv("TOKEN", f"secret {number}")
        done = start(call, each, f'echo "$TOKEN"; exit {number}', variables="TOKEN", together=True)
        assert done.returncode == 0, done.stderr
        assert state(call, each) == "queued"
    assert slurm.calls("sbatch") == slurm.calls("squeue") == []
    for _ in range(2):
        assert submit(call, jobs).returncode == 0
    wait_for(lambda: states(call, jobs) == ["ended"] * 3)
    assert len(slurm.calls("sbatch")) == 1
    for number, each in enumerate(jobs):
        report = task_report(call, each)
        assert (report["exit"], report["slurm"]) == (str(number), "7")
        assert (each / "tasks/1/stdout").read_text() == f"secret {number}\n"
        assert not (each / "slurm/environment").exists()


def test_one_that_runs_and_one_that_waits_can_be_stopped(
    call: Call, jobs: list[Path], slurm: FakeSlurm
) -> None:
    start(call, jobs[0], "trap 'echo bye; exit 3' TERM; echo hi; sleep 30 & wait", together=True)
    for each in jobs[1:]:
        start(call, each, "echo here", together=True)
    submit(call, jobs)
    wait_for(lambda: (jobs[0] / "tasks/1/stdout").read_text() == "hi\n")
    assert states(call, jobs) == ["running", "queued", "queued"]
    assert task_report(call, jobs[1])["queued"] == "after other trials"
    assert facts(call("mlcr_stop_job", str(jobs[1]), "5")) == [("stopped", "yes")]
    assert states(call, jobs) == ["running", "ended", "queued"]
    assert facts(call("mlcr_stop_job", str(jobs[0]), "5")) == [("stopped", "yes")]
    wait_for(lambda: states(call, jobs) == ["ended"] * 3)
    assert [task_report(call, each)["exit"] for each in jobs] == ["3", "pending", "0"]
    assert slurm.calls("scancel") == ["--batch --signal=USR1 7"]


def test_the_last_one_that_is_stopped_takes_the_batch_job_out_of_the_queue(
    call: Call, jobs: list[Path], slurm: FakeSlurm
) -> None:
    slurm.set("waits")
    for each in jobs:
        start(call, each, "echo never", together=True)
    call("mlcr_stop_job", str(jobs[0]), "5")
    submit(call, jobs)
    call("mlcr_stop_job", str(jobs[1]), "5")
    assert states(call, jobs) == ["ended", "ended", "queued"]
    assert slurm.calls("scancel") == []
    call("mlcr_stop_job", str(jobs[2]), "5")
    assert states(call, jobs) == ["ended"] * 3
    assert slurm.calls("scancel") == ["--state=PENDING 7"]


def test_jobs_that_wait_for_others_do_not_ask_slurm_more_often(
    call: Call, jobs: list[Path], slurm: FakeSlurm
) -> None:
    slurm.set("waits")
    for each in jobs[:2]:
        start(call, each, "echo never", together=True)
    submit(call, jobs[:2])
    (jobs[0] / "slurm/started").touch()
    kept = jobs[0].parent.parent / "slurm-queue"
    kept.write_text(f"{int(time.time()) - 20} ok\n7 RUNNING None\n")
    (jobs[0] / "slurm/submitted").write_text("1\n")
    assert task_report(call, jobs[1])["queued"] == "after other trials"
    assert slurm.calls("squeue") == []


def test_a_signal_to_the_batch_job_ends_one_and_leaves_the_others_unstarted(
    call: Call, jobs: list[Path], slurm: FakeSlurm
) -> None:
    start(call, jobs[0], "trap 'echo bye; exit 3' TERM; echo hi; sleep 30 & wait", together=True)
    start(call, jobs[1], "echo never", together=True)
    submit(call, jobs[:2])
    wait_for(lambda: (jobs[0] / "tasks/1/stdout").read_text() == "hi\n")
    slurm.queue("7|RUNNING|mlcr-j1|0:58|None")
    os.killpg(int((slurm.folder / "pid.7").read_text()), signal.SIGTERM)
    wait_for(lambda: states(call, jobs[:2]) == ["ended", "lost"])
    assert [task_report(call, each)["scheduler"] for each in jobs[:2]] == ["TIMEOUT", "NOT_REACHED"]
    assert (jobs[1] / "tasks/1/stdout").read_text() == ""


def test_a_refused_batch_job_leaves_no_job_launched(
    call: Call, jobs: list[Path], slurm: FakeSlurm
) -> None:
    for each in jobs:
        start(call, each, "true", variables="HOME", together=True)
    slurm.set("refuses")
    done = submit(call, jobs)
    assert (done.returncode, b"Invalid account" in done.stderr) == (21, True)
    assert not any((each / name).exists() for each in jobs for name in ("tasks", "launching"))
    slurm.set("refuses", to=False)
    for each in jobs:
        assert start(call, each, "true", together=True).returncode == 0
    assert submit(call, jobs).returncode == 0
    wait_for(lambda: states(call, jobs) == ["ended"] * 3)
