# SPDX-License-Identifier: Apache-2.0
"""An engine whose client hangs before it has a container does not hold a job for ever."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shell_library import OURS, Call, calls, is_alive, launch, state, task_report
from tests.support.waiting import wait_for

CLIENT = "trap '' TERM; echo pulling >&2; while :; do sleep 1; done"
"""A client that also ignores SIGTERM."""
INSPECTS_FOR_EVER = "#!/bin/sh\ntrap '' TERM\ncase $1 in inspect) sleep 600 ;; esac\n"


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("mlcr_patience_s", "1")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "jobs" / "run1-0"
    yield made
    for mark in made.glob("tasks/*/hung"):
        mark.unlink()  # the supervisor need not look for containers any longer


def client_is_alive(job: Path) -> bool:
    return is_alive((job / "tasks/1/client").read_text().strip())


@pytest.mark.parametrize("how", ["time limit", "stop"])
@pytest.mark.parametrize("inspects", [True, False], ids=["", "inspect-hangs"])
def test_the_client_is_stopped(
    call: Call, job: Path, engine: Path, how: str, inspects: bool
) -> None:
    if not inspects:
        engine.write_text(INSPECTS_FOR_EVER)
    limit = "1" if how == "time limit" else ""
    began = time.monotonic()
    launch(call, job, CLIENT, "echo never", engine=str(engine), container="c", timeout=limit)
    wait_for(lambda: b"pulling" in (job / "tasks/1/stderr").read_bytes())
    if how == "stop":
        assert call("mlcr_stop_job", str(job), "5").returncode == 0
    wait_for(lambda: state(call, job) == "ended", seconds=40)
    assert time.monotonic() - began < 30
    assert not client_is_alive(job)
    report = task_report(call, job)
    assert report["hung"] == "yes"
    assert report.get("timedout") == ("yes" if how == "time limit" else None)
    assert report["exit"] == str(128 + signal.SIGKILL)
    assert calls(engine) == []


def test_a_container_that_appears_later_is_removed(call: Call, job: Path, engine: Path) -> None:
    launch(call, job, CLIENT, engine=str(engine), container="c", timeout="1")
    wait_for(lambda: state(call, job) == "ended", seconds=40)
    (engine.parent / "state").write_text("running 0 false \n")
    (engine.parent / "labels").write_text(OURS)
    wait_for(lambda: calls(engine) != [], seconds=20)
    assert calls(engine)[0] == "rm --force -- abc123"


def test_a_container_without_an_id_file_is_stopped_by_its_labels(
    call: Call, job: Path, engine: Path
) -> None:
    """The client hangs after the engine has made the container."""
    (engine.parent / "state").write_text("running 0 false \n")
    (engine.parent / "labels").write_text(OURS)
    script = f"while [ -e {engine.parent}/state ]; do sleep 0.1; done; exit 143"
    launch(call, job, script, engine=str(engine), container="c", timeout="1")
    wait_for(lambda: state(call, job) == "ended", seconds=40)
    assert calls(engine)[0] == "stop -t 10 -- abc123"
    assert "hung" not in task_report(call, job)


def test_a_client_that_outlives_its_supervisor_may_still_make_a_container(
    call: Call, job: Path, engine: Path
) -> None:
    launch(call, job, CLIENT, engine=str(engine), container="c")
    started = job / "tasks/1/started"
    wait_for(lambda: b"pulling" in (job / "tasks/1/stderr").read_bytes() and started.exists())
    os.kill(int((job / "owner").read_text().split()[1]), signal.SIGKILL)
    then = time.time() - 600
    os.utime(started, (then, then))
    wait_for(lambda: state(call, job) == "orphaned")
    assert call("mlcr_stop_job", str(job), "1").returncode == 0
    wait_for(lambda: not client_is_alive(job), seconds=20)
    assert state(call, job) == "lost"
