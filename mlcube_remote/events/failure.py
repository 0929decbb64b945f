# SPDX-License-Identifier: Apache-2.0
"""What made a job fail: its task, its host or a user. Each needs another remedy."""

from __future__ import annotations

from enum import Enum

from mlcube_remote.errors import StoppedByUserError
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status, TaskOutcome


class FailureKind(Enum):
    """What made a job fail."""

    NONE = "none"
    """Nothing: it succeeded, or is still running."""
    TASK = "task"
    """Its program failed, exceeded a limit of time or memory, or did not write an output."""
    HOST = "host"
    """Its host could not be used, did not return the outputs, or killed the task."""
    STALE_OUTPUT = "stale output"
    """A task ended with 0 and left an output as it was, which ``--fresh-outputs`` refuses."""
    PULL = "pull"
    """All its tasks succeeded, and its outputs did not arrive."""
    CANCELLED = "cancelled"
    """A user stopped it, or it was cancelled because other jobs failed."""
    UNKNOWN = "unknown"
    """Its host cannot be asked; the job may still run."""


def failure_kind(outcome: JobOutcome) -> FailureKind:
    """Return what made a job fail."""
    if outcome.status in {Status.SUCCEEDED, *OPEN}:
        return FailureKind.NONE
    if is_only_unpulled(outcome):
        return FailureKind.PULL
    if outcome.status is Status.UNKNOWN:
        return FailureKind.UNKNOWN
    for task in outcome.tasks:
        found = task_failure_kind(task)
        if found is not FailureKind.NONE:
            return found
    stopped = outcome.error is None or isinstance(outcome.error, StoppedByUserError)
    return FailureKind.CANCELLED if stopped else FailureKind.HOST


def is_only_unpulled(outcome: JobOutcome) -> bool:
    """Return whether all tasks of a job succeeded, and only its outputs did not arrive."""
    return (
        outcome.error is not None
        and bool(outcome.tasks)
        and all(task.status is Status.SUCCEEDED for task in outcome.tasks)
    )


def task_failure_kind(task: TaskOutcome) -> FailureKind:
    """Return what made a task fail; a task that never started has no failure of its own."""
    if task.is_stale:
        return FailureKind.STALE_OUTPUT
    if task.status in {Status.FAILED, Status.KILLED}:
        return FailureKind.HOST if task.by_host else FailureKind.TASK
    return {
        Status.LOST: FailureKind.HOST,
        Status.CANCELLED: FailureKind.CANCELLED,
        Status.UNKNOWN: FailureKind.UNKNOWN,
    }.get(task.status, FailureKind.NONE)
