# SPDX-License-Identifier: Apache-2.0
"""Events and outcomes of an imagined run, for the tests of what shows or writes them."""

from __future__ import annotations

from pathlib import Path

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    Output,
    Stage,
    StageFinished,
    StageStarted,
)
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.transport.base import Stream


def output(
    data: bytes, host: str = "a", stream: Stream = Stream.STDOUT, **changes: object
) -> Output:
    """Return output of a task, by default ``t``."""
    values: dict[str, object] = {
        "host": host,
        "at": 0.0,
        "stage": Stage.RUN,
        "task": "t",
        "stream": stream,
        "data": data,
    }
    return Output(**(values | changes))  # type: ignore[arg-type] # by name


def job_finished(host: str = "a", status: Status = Status.SUCCEEDED) -> JobFinished:
    """Return the end of a job without tasks."""
    outcome = JobOutcome(host=host, platform="docker", status=status, seconds={})
    return JobFinished(host=host, at=1.0, outcome=outcome)


def stage_events(kind: Stage, host: str = "a", detail: str = "") -> list[Event]:
    """Return the start and the end of a stage."""
    return [
        StageStarted(host=host, at=0.0, stage=kind),
        StageFinished(host=host, at=1.0, stage=kind, seconds=1.25, detail=detail),
    ]


def succeeded(host: str = "a", **changes: object) -> JobOutcome:
    """Return the outcome of a job whose only task succeeded."""
    values: dict[str, object] = {
        "host": host,
        "platform": "docker",
        "status": Status.SUCCEEDED,
        "tasks": (TaskOutcome(task="train", status=Status.SUCCEEDED, exit_code=0, seconds=2.0),),
        "seconds": {"connect": 0.1},
    }
    return JobOutcome(**(values | changes))  # type: ignore[arg-type] # by name


def failed(host: str = "gpu01", **changes: object) -> JobOutcome:
    """Return the outcome of a job whose second task failed with a reason that styles text."""
    values: dict[str, object] = {
        "host": host,
        "platform": "docker",
        "status": Status.FAILED,
        "tasks": (
            TaskOutcome(task="get", status=Status.SUCCEEDED, exit_code=0, seconds=1.0),
            TaskOutcome(task="train", status=Status.FAILED, exit_code=3, reason="no\x1b[1m luck"),
        ),
        "seconds": {"connect": 0.25, "run": 3.5},
        "outputs": (PulledOutput(task="get", name="data", path=Path.cwd() / "workspace/data"),),
    }
    return JobOutcome(**(values | changes))  # type: ignore[arg-type] # by name
