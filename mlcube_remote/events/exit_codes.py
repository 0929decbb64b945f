# SPDX-License-Identifier: Apache-2.0
"""The exit code of a run; docs/reference/exit-codes.md explains them to users."""

from __future__ import annotations

from collections.abc import Sequence

from mlcube_remote.errors import (
    CancelledError,
    StaleOutputError,
    StoppedByUserError,
    TaskTimeoutError,
)
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status

PRECEDENCE = (118, 123, 121, 120, 122, 117, 124, 119, 70, 2)
"""Exit codes by urgency: if jobs failed in several ways, the first of these is returned."""

FAILED = 1


def exit_code(outcomes: Sequence[JobOutcome]) -> int:
    """Return the exit code of the process.

    One job: the exit code of its first failed task, or of the error that ended it. Several jobs:
    the first that applies of :data:`PRECEDENCE`, else 1 if any job failed. No job: 0.
    """
    # A job that was cancelled because others failed has no failure of its own.
    own = [outcome for outcome in outcomes if not isinstance(outcome.error, CancelledError)]
    several, outcomes = len(outcomes) > 1, own or outcomes
    codes = [job_exit_code(outcome) for outcome in outcomes]
    if not several:
        return codes[0] if codes else 0
    if StoppedByUserError.exit_code in codes:
        return StoppedByUserError.exit_code
    ours = {outcome.error.exit_code for outcome in outcomes if outcome.error is not None}
    if any(task.timed_out for outcome in outcomes for task in outcome.tasks):
        ours.add(TaskTimeoutError.exit_code)
    if any(task.is_stale for outcome in outcomes for task in outcome.tasks):
        ours.add(StaleOutputError.exit_code)
    for code in PRECEDENCE:
        if code in ours:
            return code
    return FAILED if any(codes) else 0


def job_exit_code(outcome: JobOutcome) -> int:
    """Return the exit code of a run with this job alone."""
    if outcome.succeeded:
        return 0
    if outcome.error is not None:
        return outcome.error.exit_code
    if outcome.status in OPEN:
        return 0
    if outcome.status is Status.CANCELLED:
        return StoppedByUserError.exit_code
    for task in outcome.tasks:
        if task.timed_out:
            return TaskTimeoutError.exit_code
        if task.is_stale:
            return StaleOutputError.exit_code
        if task.status is not Status.SUCCEEDED:
            # A task that failed although its exit code is 0 lacks an output.
            return task.exit_code or FAILED
    return FAILED
