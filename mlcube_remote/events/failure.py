# SPDX-License-Identifier: Apache-2.0
"""Whose fault it is that a job failed: a program that fails needs another cure than a host."""

from __future__ import annotations

from enum import Enum

from mlcube_remote.errors import StoppedByUserError
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome


class FailureKind(Enum):
    """What kept a job from success."""

    NONE = "none"
    """Nothing: it succeeded, or goes on."""
    TASK = "task"
    """Its program ended with an error, took too much time or memory, or left an output out."""
    HOST = "host"
    """Its host could not be used, gave no outputs back, or ended the task under way."""
    CANCELLED = "cancelled"
    """Somebody wanted it to stop."""
    UNKNOWN = "unknown"
    """Nobody knows: it may go on."""


def failure_kind(outcome: JobOutcome) -> FailureKind:
    """Return what kept a job from success."""
    if outcome.status in {Status.SUCCEEDED, Status.RUNNING}:
        return FailureKind.NONE
    if outcome.status is Status.UNKNOWN:
        return FailureKind.UNKNOWN
    for task in outcome.tasks:
        found = task_failure_kind(task)
        if found is not FailureKind.NONE:
            return found
    stopped = outcome.error is None or isinstance(outcome.error, StoppedByUserError)
    return FailureKind.CANCELLED if stopped else FailureKind.HOST


def task_failure_kind(task: TaskOutcome) -> FailureKind:
    """Return what kept a task from success; one that never began has no fault of its own."""
    if task.status in {Status.FAILED, Status.KILLED}:
        return FailureKind.HOST if task.by_host else FailureKind.TASK
    return {
        Status.LOST: FailureKind.HOST,
        Status.CANCELLED: FailureKind.CANCELLED,
        Status.UNKNOWN: FailureKind.UNKNOWN,
    }.get(task.status, FailureKind.NONE)
