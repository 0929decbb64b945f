# SPDX-License-Identifier: Apache-2.0
"""What a supervisor that died in the wrong moment left is found; what nobody needs is deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.unit.remote.conftest import Call, facts, kill_supervisor, launch, state

OURS = f"abc123 run1 {os.getuid()}\n"
FOREIGN = {"run": f"abc123 run2 {os.getuid()}\n", "user": "abc123 run1 4321\n", "none": "abc123\n"}
DAY = 86400


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "run1-0"


@pytest.fixture
def nameless(call: Call, job: Path, engine: Path, gate: Path) -> Path:
    """Leave a job whose supervisor was killed before anybody knew the container's id."""
    (engine.parent / "state").write_text("running 0 false \n")
    launch(call, job, f"cat {gate}", engine=str(engine), container="c")
    kill_supervisor(job)
    return job


def calls(engine: Path) -> list[str]:
    file = engine.parent / "calls"
    return file.read_text().splitlines() if file.exists() else []


def age(path: Path, seconds: float = 2 * DAY) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_container_is_found_by_its_name_and_its_labels(
    call: Call, nameless: Path, engine: Path
) -> None:
    (engine.parent / "labels").write_text(OURS)
    assert state(call, nameless) == "orphaned"
    assert (nameless / "tasks/1/cid").read_text() == "abc123\n"
    assert call("mlcr_adopt_task", str(nameless), "1").returncode == 0
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, nameless) == "ended")
    assert (nameless / "tasks/1/exit.7").exists()


@pytest.mark.parametrize("labels", FOREIGN)
def test_a_container_that_merely_has_the_name_is_none(
    call: Call, nameless: Path, engine: Path, labels: str
) -> None:
    (engine.parent / "labels").write_text(FOREIGN[labels])
    age(nameless / "tasks/1/started")
    assert state(call, nameless) == "lost"
    assert not (nameless / "tasks/1/cid").exists()


def test_a_container_may_still_be_about_to_be_made(call: Call, nameless: Path) -> None:
    assert state(call, nameless) == "orphaned", "its engine's client was started just now"
    age(nameless / "tasks/1/started")
    assert state(call, nameless) == "lost"


def test_a_task_is_stopped_though_nobody_wrote_down_that_it_began(
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


@pytest.mark.parametrize("labels", ["run1", *FOREIGN])
def test_a_container_that_an_ended_task_left_goes_with_its_job(
    call: Call, job: Path, engine: Path, tmp_path: Path, labels: str
) -> None:
    launch(call, job, "true", engine=str(engine), container="c")
    wait_for(lambda: state(call, job) == "ended")
    (engine.parent / "labels").write_text(FOREIGN.get(labels, OURS))
    assert call("mlcr_remove_job", str(tmp_path), job.name).returncode == 0
    assert not job.exists()
    assert calls(engine) == (["rm --force -- abc123"] if labels == "run1" else [])


def test_a_sweep_deletes_what_is_old_and_leads_nowhere(
    call: Call, job: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "locks" / "workspace-1"
    lock.mkdir(parents=True)
    entries = {
        "first": "b",
        "after.b": "c",
        "after.c": "d",
        "after.a": "b",
        "after.z": "y",
        "new.z": "z",
        "empty.123": "",
    }
    for name, holder in entries.items():
        (lock / name).write_text(f"{holder}\n")
        age(lock / name)
    (lock / "after.young").write_text("x\n")
    job.mkdir(parents=True)
    removed = [job.with_name(f".removed.{name}.1") for name in ("old", "young")]
    for folder in removed:
        folder.mkdir()
        (folder / "request").write_text("")
    age(removed[0])
    age(job)
    assert call("mlcr_remove_leftovers", str(tmp_path)).returncode == 0
    assert {path.name for path in lock.iterdir()} == {"first", "after.b", "after.c", "after.young"}
    assert [folder.exists() for folder in removed] == [False, True]
    assert job.exists()


def test_there_may_be_nothing_to_sweep(call: Call, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    assert call("mlcr_remove_leftovers", str(tmp_path)).returncode == 0


@pytest.mark.parametrize("is_pulled", [True, False])
def test_the_workspace_of_a_job_of_a_sweep_goes_once_its_outputs_came_home(
    call: Call, job: Path, is_pulled: bool
) -> None:
    room = job.parent.parent / "trials" / job.name / "workspace"
    room.mkdir(parents=True)
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    if is_pulled:
        assert call("mlcr_write_file", str(job / "pulled"), "anew", "").returncode == 0
    assert call("mlcr_remove_job", str(job.parent.parent), job.name).returncode == 0
    assert not job.exists()
    assert room.exists() != is_pulled
