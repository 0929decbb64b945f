# SPDX-License-Identifier: Apache-2.0
"""The exit code of a run; docs/reference/exit-codes.md explains them to users."""

from __future__ import annotations

from collections.abc import Sequence

from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.errors import CancelledError, StoppedByUserError, TaskTimeoutError

PRECEDENCE = (118, 123, 121, 120, 122, 117, 124, 70, 2)
"""Of several kinds of trouble, the first of these is the one to look at first."""

FAILED = 1


def exit_code(outcomes: Sequence[JobOutcome]) -> int:
    """Return what the process ends with.

    One job: the exit code of its first task that failed, or of the error that ended it. Several:
    the first kind of trouble by :data:`PRECEDENCE`, else 1 if anything failed. None: 0.
    """
    # Who was cancelled because of others says nothing of his own.
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
    for code in PRECEDENCE:
        if code in ours:
            return code
    return FAILED if any(codes) else 0


def job_exit_code(outcome: JobOutcome) -> int:
    """Return what a run of this job alone ends with."""
    if outcome.succeeded:
        return 0
    if outcome.error is not None:
        return outcome.error.exit_code
    if outcome.status is Status.RUNNING:
        return 0
    if outcome.status is Status.CANCELLED:
        return StoppedByUserError.exit_code
    for task in outcome.tasks:
        if task.timed_out:
            return TaskTimeoutError.exit_code
        if task.status is not Status.SUCCEEDED:
            # A task that ended with 0 and still failed lacks an output.
            return task.exit_code or FAILED
    return FAILED
