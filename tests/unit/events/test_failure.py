# SPDX-License-Identifier: Apache-2.0
"""Failures of tasks and failures of hosts."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote.errors import (
    HostUnfitError,
    MLCubeRemoteError,
    StateUnknownError,
    StoppedByUserError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.events.failure import FailureKind, failure_kind
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome


def task(status: Status, *, by_host: bool = False) -> TaskOutcome:
    return TaskOutcome(task="t", status=status, by_host=by_host)


WELL, NOT = task(Status.SUCCEEDED), task(Status.NOT_STARTED)


@pytest.mark.parametrize(
    ("status", "tasks", "error", "fault"),
    [
        (Status.SUCCEEDED, (WELL,), None, FailureKind.NONE),
        (Status.RUNNING, (WELL, task(Status.RUNNING)), None, FailureKind.NONE),
        (Status.FAILED, (WELL, task(Status.FAILED), NOT), None, FailureKind.TASK),
        (Status.KILLED, (task(Status.KILLED),), None, FailureKind.TASK),
        (Status.KILLED, (task(Status.KILLED, by_host=True),), None, FailureKind.HOST),
        (Status.LOST, (task(Status.LOST),), None, FailureKind.HOST),
        (Status.NOT_STARTED, (NOT,), UnreachableError("h", "x"), FailureKind.HOST),
        (Status.NOT_STARTED, (), UnreachableError("h", "x"), FailureKind.HOST),
        (Status.FAILED, (NOT,), HostUnfitError("h", "x"), FailureKind.HOST),
        (Status.FAILED, (WELL,), TransferError("h", "x"), FailureKind.PULL),
        (Status.UNKNOWN, (WELL,), StateUnknownError("h", "x"), FailureKind.PULL),
        (Status.FAILED, (WELL, NOT), HostUnfitError("h", "x"), FailureKind.HOST),
        (Status.FAILED, (attrs.evolve(WELL, is_stale=True),), None, FailureKind.STALE_OUTPUT),
        (Status.FAILED, (task(Status.FAILED),), TransferError("h", "x"), FailureKind.TASK),
        (Status.UNKNOWN, (task(Status.UNKNOWN),), StateUnknownError("h", "x"), FailureKind.UNKNOWN),
        (Status.CANCELLED, (task(Status.CANCELLED),), None, FailureKind.CANCELLED),
        (Status.CANCELLED, (NOT,), StoppedByUserError(), FailureKind.CANCELLED),
        (Status.NOT_STARTED, (NOT,), None, FailureKind.CANCELLED),
    ],
)
def test_what_kept_a_job_from_success_is_reported(
    status: Status,
    tasks: tuple[TaskOutcome, ...],
    error: MLCubeRemoteError | None,
    fault: FailureKind,
) -> None:
    found = JobOutcome(
        host="h", platform="docker", status=status, tasks=tasks, error=error, seconds={}
    )
    assert failure_kind(found) is fault
