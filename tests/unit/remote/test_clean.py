# SPDX-License-Identifier: Apache-2.0
"""Ended jobs, their containers and leftovers are deleted; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell_library import (
    FOREIGN,
    OURS,
    Call,
    age,
    calls,
    launch,
    state,
)
from tests.support.waiting import wait_for


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "run1-0"


@pytest.mark.parametrize("labels", ["run1", *FOREIGN])
def test_a_container_that_is_left_is_removed_with_its_job(
    call: Call, job: Path, engine: Path, tmp_path: Path, labels: str
) -> None:
    launch(call, job, "true", engine=str(engine), container="c")
    wait_for(lambda: state(call, job) == "ended")
    (engine.parent / "labels").write_text(FOREIGN.get(labels, OURS))
    assert call("mlcr_remove_job", str(tmp_path), job.name).returncode == 0
    assert not job.exists()
    assert calls(engine) == (["rm --force -- abc123"] if labels == "run1" else [])


def test_old_leftovers_are_deleted(call: Call, job: Path, tmp_path: Path) -> None:
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


def test_there_may_be_no_leftovers(call: Call, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    assert call("mlcr_remove_leftovers", str(tmp_path)).returncode == 0


@pytest.mark.parametrize("is_pulled", [True, False])
def test_the_workspace_of_a_sweep_job_is_deleted_once_its_outputs_are_pulled(
    call: Call, job: Path, is_pulled: bool
) -> None:
    room = job.parent.parent / "trials" / job.name / "workspace"
    room.mkdir(parents=True)
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    if is_pulled:
        assert call("mlcr_write_file", str(job / "pulled"), "replace", "").returncode == 0
    assert call("mlcr_remove_job", str(job.parent.parent), job.name).returncode == 0
    assert not job.exists()
    assert room.exists() != is_pulled


def test_only_an_ended_job_is_removed(call: Call, job: Path, tmp_path: Path, gate: Path) -> None:
    launch(call, job, f"cat {gate}")
    assert call("mlcr_remove_job", "~", job.name).returncode == 18
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")
    assert call("mlcr_remove_job", "~", job.name).returncode == 0
    assert list(job.parent.iterdir()) == []
    assert call("mlcr_remove_job", "~", job.name).returncode == 1


@pytest.mark.parametrize("name", ["", ".", "..", "../jobs/j1", "/etc", ".hidden"])
def test_only_a_job_is_removed(call: Call, job: Path, name: str) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    assert call("mlcr_remove_job", "~", name).returncode == 1
    assert job.exists()
