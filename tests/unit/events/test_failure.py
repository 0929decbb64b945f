# SPDX-License-Identifier: Apache-2.0
"""A task that fails is told from a host that does."""

from __future__ import annotations

import pytest

from mlcube_remote.errors import (
    HostUnfitError,
    MLCubeRemoteError,
    StateUnknownError,
    StoppedByUserError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.events.failure import Fault, fault_of
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome


def task(status: Status, *, by_host: bool = False) -> TaskOutcome:
    return TaskOutcome(task="t", status=status, by_host=by_host)


WELL, NOT = task(Status.SUCCEEDED), task(Status.NOT_STARTED)


@pytest.mark.parametrize(
    ("status", "tasks", "error", "fault"),
    [
        (Status.SUCCEEDED, (WELL,), None, Fault.NONE),
        (Status.RUNNING, (WELL, task(Status.RUNNING)), None, Fault.NONE),
        (Status.FAILED, (WELL, task(Status.FAILED), NOT), None, Fault.TASK),
        (Status.KILLED, (task(Status.KILLED),), None, Fault.TASK),
        (Status.KILLED, (task(Status.KILLED, by_host=True),), None, Fault.HOST),
        (Status.LOST, (task(Status.LOST),), None, Fault.HOST),
        (Status.NOT_STARTED, (NOT,), UnreachableError("h", "x"), Fault.HOST),
        (Status.NOT_STARTED, (), UnreachableError("h", "x"), Fault.HOST),
        (Status.FAILED, (NOT,), HostUnfitError("h", "x"), Fault.HOST),
        (Status.FAILED, (WELL,), TransferError("h", "x"), Fault.HOST),
        (Status.FAILED, (task(Status.FAILED),), TransferError("h", "x"), Fault.TASK),
        (Status.UNKNOWN, (task(Status.UNKNOWN),), StateUnknownError("h", "x"), Fault.UNKNOWN),
        (Status.CANCELLED, (task(Status.CANCELLED),), None, Fault.CANCELLED),
        (Status.CANCELLED, (NOT,), StoppedByUserError(), Fault.CANCELLED),
        (Status.NOT_STARTED, (NOT,), None, Fault.CANCELLED),
    ],
)
def test_what_kept_a_job_from_success_is_told(
    status: Status,
    tasks: tuple[TaskOutcome, ...],
    error: MLCubeRemoteError | None,
    fault: Fault,
) -> None:
    found = JobOutcome(
        host="h", platform="docker", status=status, tasks=tasks, error=error, seconds={}
    )
    assert fault_of(found) is fault
