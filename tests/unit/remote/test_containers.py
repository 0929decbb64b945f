# SPDX-License-Identifier: Apache-2.0
"""A container without an id file is found by its name and its labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell_library import (
    FOREIGN,
    OURS,
    Call,
    age,
    kill_supervisor,
    launch,
    state,
)
from tests.support.waiting import wait_for


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "run1-0"


@pytest.fixture
def unnamed(call: Call, job: Path, engine: Path, gate: Path) -> Path:
    """Return a job whose supervisor was killed before the container's id was written."""
    (engine.parent / "state").write_text("running 0 false \n")
    launch(call, job, f"cat {gate}", engine=str(engine), container="c")
    wait_for((job / "tasks/1/client").exists)
    kill_supervisor(job)
    return job


def test_a_container_is_found_by_its_name_and_its_labels(
    call: Call, unnamed: Path, engine: Path
) -> None:
    (engine.parent / "labels").write_text(OURS)
    assert state(call, unnamed) == "orphaned"
    assert (unnamed / "tasks/1/cid").read_text() == "abc123\n"
    assert call("mlcr_adopt_task", str(unnamed), "1").returncode == 0
    (engine.parent / "state").write_text("exited 7 false \n")
    wait_for(lambda: state(call, unnamed) == "ended")
    assert (unnamed / "tasks/1/exit.7").exists()


@pytest.mark.parametrize("labels", FOREIGN)
def test_a_container_with_only_the_name_does_not_count(
    call: Call, unnamed: Path, engine: Path, labels: str, gate: Path
) -> None:
    (engine.parent / "labels").write_text(FOREIGN[labels])
    age(unnamed / "tasks/1/started")
    gate.write_text("")  # the engine's client ends
    wait_for(lambda: state(call, unnamed) == "lost")
    assert not (unnamed / "tasks/1/cid").exists()


def test_a_container_may_not_have_been_created_yet(call: Call, unnamed: Path, gate: Path) -> None:
    assert state(call, unnamed) == "orphaned", "the engine's client has just started"
    age(unnamed / "tasks/1/started")
    assert state(call, unnamed) == "orphaned", "it still runs"
    gate.write_text("")
    wait_for(lambda: state(call, unnamed) == "lost")
