# SPDX-License-Identifier: Apache-2.0
"""A task that outlived its supervisor gets another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
    kill_supervisor,
    launch,
    state,
    task_report,
)
from tests.support.waiting import wait_for


def _in_container(call: Call, job: Path, engine: Path, gate: Path) -> None:
    """Start a task in the fake engine's container, which runs until the gate opens."""
    (engine.parent / "state").write_text("running 0 false \n")
    script = f"printf abc123 >{job}/tasks/1/cid; cat {gate}; exit 7"
    launch(call, job, script, "echo next", engine=str(engine), container="c")
    wait_for((job / "tasks/1/cid").exists)


def test_a_container_that_outlives_its_supervisor_is_adopted_once(
    call: Call, job: Path, engine: Path, tmp_path: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    assert state(call, job) == "orphaned"
    report = task_report(call, job)
    assert (report["alive"], report["container"].strip()) == ("no", "running 0 false")
    for _ in range(3):
        assert call("mlcr_adopt_task", str(job), "1").returncode == 0
    wait_for(lambda: state(call, job) == "running")
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["log"], report["inspect"].strip()) == (
        "7",
        "degraded",
        "exited 7 false",
    )
    assert len(list(job.glob("adopted.*"))) == 1
    gate.write_text("")


def test_a_job_whose_container_was_removed_is_lost(
    call: Call, job: Path, engine: Path, tmp_path: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    (engine.parent / "state").unlink()
    assert state(call, job) == "lost"
    assert task_report(call, job)["container"] == "absent"


def test_an_adopting_supervisor_that_died_at_once_is_replaced(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    dead = (job / "owner").read_text().split()[1]
    (job / f"adopted.{dead}.1").mkdir()
    assert call("mlcr_adopt_task", str(job), "1").returncode == 0
    assert not (job / f"adopted.{dead}.2").exists(), "it may still be about to start"
    os.utime(job / f"adopted.{dead}.1", (1, 1))
    call("mlcr_adopt_task", str(job), "1")
    wait_for(lambda: state(call, job) == "running")
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, job) == "ended")


@pytest.mark.parametrize(("name", "code"), [("inspect.new", "0"), ("degraded", "7")])
def test_an_end_is_published_although_a_file_cannot_be_written(
    call: Call, job: Path, engine: Path, gate: Path, name: str, code: str
) -> None:
    _in_container(call, job, engine, gate)
    kill_supervisor(job)
    # Nothing can be written to this name, as on a full disk.
    (job / "tasks/1" / name).mkdir()
    (engine.parent / "state").write_text(f"exited {code} false \n")
    call("mlcr_adopt_task", str(job), "1")
    wait_for((job / f"tasks/1/exit.{code}").exists)
    assert task_report(call, job)["inspect"].split() == ["exited", code, "false"]
