# SPDX-License-Identifier: Apache-2.0
"""The exit code of a run, from the outcomes of its jobs."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote import errors
from mlcube_remote.errors import (
    MLCubeRemoteError,
)
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome


def test_a_task_that_ran_out_of_its_time_ends_with_124() -> None:
    killed = TaskOutcome(task="t", status=Status.KILLED, exit_code=143, timed_out=True)
    ended = attrs.evolve(outcome(1), tasks=(killed,), status=Status.KILLED)
    assert exit_code([ended]) == 124
    assert exit_code([ended, outcome()]) == 124


def test_a_job_left_to_itself_on_purpose_is_no_failure() -> None:
    assert exit_code([attrs.evolve(outcome(), status=Status.RUNNING)]) == 0


def outcome(code: int | None = 0, error: MLCubeRemoteError | None = None) -> JobOutcome:
    status = Status.SUCCEEDED if code == 0 and error is None else Status.FAILED
    tasks = () if code is None else (TaskOutcome(task="t", status=status, exit_code=code),)
    return JobOutcome(
        host="h", platform="docker", status=status, tasks=tasks, error=error, seconds={}
    )


UNREACHABLE = errors.UnreachableError("h", "x")


UNSAFE = errors.UnsafeContentError("h", "x")


UNKNOWN = errors.StateUnknownError("h", "x")


UNFIT = errors.HostUnfitError("h", "x")


BUSY = errors.BusyError("h", "x")


TRANSFER = errors.TransferError("h", "x")


TIMEOUT = errors.TaskTimeoutError("h", "x")


STOPPED = errors.StoppedByUserError()


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([outcome()], 0),
        ([outcome(7)], 7),
        ([outcome(None, UNREACHABLE)], 120),
        ([outcome(0, TRANSFER)], 121),
        ([], 0),
        ([outcome(), outcome()], 0),
        ([outcome(), outcome(7)], 1),
        ([outcome(7), outcome(None, UNREACHABLE)], 120),
        ([outcome(None, UNREACHABLE), outcome(None, TRANSFER)], 121),
        ([outcome(None, TRANSFER), outcome(None, UNKNOWN)], 123),
        ([outcome(None, UNKNOWN), outcome(None, UNSAFE)], 118),
        ([outcome(None, BUSY), outcome(None, UNFIT)], 122),
        ([outcome(None, TIMEOUT), outcome(None, BUSY)], 117),
        ([outcome(9), outcome(None, TIMEOUT)], 124),
        ([outcome(None, errors.PlanError("x")), outcome()], 2),
        ([outcome(), outcome(None, STOPPED), outcome(None, UNSAFE)], 130),
    ],
)
def test_the_exit_code_is_the_one_to_look_at_first(
    outcomes: list[JobOutcome], expected: int
) -> None:
    assert exit_code(outcomes) == expected


def test_a_task_that_lacks_an_output_ends_with_one() -> None:
    lacking = TaskOutcome(task="t", status=Status.FAILED, exit_code=0)
    job = JobOutcome(
        host="h", platform="docker", status=Status.FAILED, tasks=(lacking,), seconds={}
    )
    assert exit_code([job]) == 1
