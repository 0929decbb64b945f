# SPDX-License-Identifier: Apache-2.0
"""Jobs are stopped before, during and after their tasks."""

from __future__ import annotations

from pathlib import Path

from tests.support.shell_library import (
    Call,
    calls,
    connected,
    facts,
    launch,
    state,
    task_report,
)
from tests.support.waiting import wait_for


def test_a_task_without_a_start_time_is_stopped(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    (engine.parent / "state").write_text("running 0 false \n")
    script = f"printf abc123 >{job}/tasks/1/cid; cat {gate}"
    launch(call, job, script, engine=str(engine), container="c")
    wait_for((job / "tasks/1/cid").exists)
    (job / "tasks/1/started").unlink()
    assert facts(call("mlcr_stop_job", str(job), "3")) == [("stopped", "yes")]
    assert calls(engine) == ["stop -t 3 -- abc123"]
    gate.write_text("")


def test_a_job_can_be_stopped_before_its_launch(call: Call, job: Path) -> None:
    with connected(job, job.parent.parent / "lock"):
        assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "yes"
        launch(call, job, "echo never")
        wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["stop"], report["stdout"]) == ("pending", "yes", "0")
    assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "nothing"


def test_a_stop_ends_the_process_group_and_starts_no_further_task(
    call: Call, tmp_path: Path
) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "sleep 30 & sleep 30; wait", "echo never")
    wait_for((job / "tasks/1/group").exists)
    assert call("mlcr_stop_job", str(job), "5").returncode == 0
    call("mlcr_follow_task", str(job), "1", "0", "0")
    report = task_report(call, job)
    assert report["stop"] == "yes"
    assert report["exit"] == "143"
    assert task_report(call, job, 2)["exit"] == "pending"
    assert call("mlcr_stop_job", str(job), "5").returncode == 0, "a second call does no harm"
