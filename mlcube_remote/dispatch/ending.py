# SPDX-License-Identifier: Apache-2.0
"""From what a job came to, and what ended it, to its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.dispatch.record import remember
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.watch import Reached
from mlcube_remote.errors import (
    CancelledError,
    ConnectError,
    DetachedError,
    MLCubeRemoteError,
    NotStartedError,
    StateUnknownError,
    StoppedByUserError,
    UnexpectedError,
)

Settle = Callable[[JobOutcome], str | None]
"""Takes a job's outcome; returns why the job is to be begun again, or nothing where it is over."""

_NONE: Mapping[str, str] = MappingProxyType({})

_OUT_OF_REACH = (StateUnknownError, ConnectError)
"""What leaves open whether a job that has been started goes on."""


def conclude(
    work: Callable[[Reached], None],
    *,
    job: tuple[str, str],
    platform: str,
    tasks: Sequence[str],
    run: Run,
    journal: Journal,
    attempt: int = 1,
    parameters: Mapping[str, str] = _NONE,
    settle: Settle = lambda _: None,
    may_run: bool = False,
) -> JobOutcome:
    """Do the work on one host; a failure of it is an outcome, not an exception.

    Args:
        work: Does it, and notes what it has come to.
        job: The ids of the run and of its job.
        platform: The job's platform.
        tasks: The tasks that were asked for, in order.
        run: The run that the job belongs to.
        journal: Of the job.
        attempt: How often the job has been begun.
        parameters: What a sweep gave the job.
        settle: Decides whether the job is to be begun again.
        may_run: Whether an earlier client may have begun it.
    """
    reached = Reached(may_run=may_run)
    error: MLCubeRemoteError | None = None
    try:
        work(reached)
    except MLCubeRemoteError as problem:
        error = problem
        # What a broken connection says is of no interest once the user has ended the run.
        if not isinstance(problem, StoppedByUserError) and _was_ended(run, reached):
            error = run.cancelled()
    except Exception as bug:  # noqa: BLE001 - told with its traceback; other hosts go on
        error = UnexpectedError(journal.host, f"a bug in mlcube-remote: {bug!r}")
        error.__cause__ = bug
    status = _status(reached, error)
    if status is Status.CANCELLED and error is None and isinstance(run.cancelled(), CancelledError):
        error = run.cancelled()
    outcome = JobOutcome(
        host=journal.host,
        job=journal.job,
        attempt=attempt,
        parameters=parameters if reached.ticket is None else reached.ticket.parameters,
        platform=platform,
        status=status,
        tasks=_all_tasks(tasks, reached, error),
        error=error,
        seconds=journal.seconds,
        outputs=tuple(reached.outputs),
    )
    if run.store is not None:
        remember(run.store, *job, outcome, reached.ticket)
    if reason := settle(outcome):
        journal.moved(reason)
    else:
        journal.finished(outcome)
    return outcome


def _was_ended(run: Run, reached: Reached) -> bool:
    return run.stopping.is_set() or (run.leaving.is_set() and not reached.launched)


def _status(reached: Reached, error: MLCubeRemoteError | None) -> Status:
    if isinstance(error, DetachedError):
        return Status.RUNNING
    if reached.may_run and error is not None:
        return Status.UNKNOWN
    if isinstance(error, _OUT_OF_REACH):
        return Status.UNKNOWN if reached.launched else Status.NOT_STARTED
    if isinstance(error, NotStartedError):
        return Status.NOT_STARTED
    for task in reached.tasks:
        if task.status is not Status.SUCCEEDED:
            return task.status
    if isinstance(error, StoppedByUserError):
        # Who was not told how it ended does not know whether it was stopped.
        return Status.UNKNOWN if reached.launched else Status.CANCELLED
    if error is not None:
        return Status.FAILED if reached.launched else Status.NOT_STARTED
    return Status.RUNNING if reached.detached else Status.SUCCEEDED


def _all_tasks(
    asked: Sequence[str], reached: Reached, error: MLCubeRemoteError | None
) -> tuple[TaskOutcome, ...]:
    """Return an outcome for every task that was asked for, also those that never began."""
    done = list(reached.tasks)
    rest = list(asked[len(done) :])
    if rest and reached.launched and not isinstance(error, NotStartedError):
        if isinstance(error, DetachedError) or reached.detached:
            done.append(TaskOutcome(task=rest.pop(0), status=Status.RUNNING))
        elif isinstance(error, _OUT_OF_REACH):
            done.append(TaskOutcome(task=rest.pop(0), status=Status.UNKNOWN))
    return (*done, *(TaskOutcome(task=task, status=Status.NOT_STARTED) for task in rest))
