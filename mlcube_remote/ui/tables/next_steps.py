# SPDX-License-Identifier: Apache-2.0
"""The last lines of a command: which jobs failed, and the command that continues from there."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from mlcube_remote.errors import UsageError
from mlcube_remote.events.failure import FailureKind, failure_kind
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status
from mlcube_remote.inventory.host_ranges import split_commas
from mlcube_remote.ui.host_ranges import format_ranges

_MAX_LISTED = 8
"""Names, or ranges of them, that are listed before the rest is counted."""

_SENTENCES = (
    (FailureKind.TASK, "task", "failed"),
    (FailureKind.STALE_OUTPUT, "task", "left outputs as they were"),
    (FailureKind.HOST, "host", "failed"),
    (FailureKind.CANCELLED, "job", "cancelled"),
)

_REPEATABLE = frozenset(kind for kind, _, _ in _SENTENCES)


def next_steps(
    run_id: str,
    outcomes: Sequence[JobOutcome],
    *,
    can_rerun: bool,
    on_host: Collection[str] = frozenset(),
) -> str:
    """Return which jobs did not succeed and how to continue; empty if nothing is left to do.

    Args:
        run_id: The run.
        outcomes: The outcomes of its jobs.
        can_rerun: Whether the run is stored with its arguments.
        on_host: Names of jobs whose outputs are still on their hosts, if they have ended.
    """
    lines = []
    faults = [(failure_kind(outcome), outcome) for outcome in outcomes]
    for fault, noun, verb in _SENTENCES:
        found = [outcome for each, outcome in faults if each is fault]
        if not found or len(outcomes) == 1:
            continue
        # A host can have several jobs of a sweep, and some of them had no host.
        are_jobs = fault is FailureKind.HOST and any(outcome.job for outcome in found)
        who, what = ("job", "failed because of a host") if are_jobs else (noun, verb)
        plural = "" if len(found) == 1 else "s"
        names = shorten_names([outcome.label for outcome in found])
        lines.append(f"{len(found)} {who}{plural} {what}: {names}")
    failed = [outcome for fault, outcome in faults if fault in _REPEATABLE]
    # The jobs of a sweep have names. Of such a run, this command may have run only one job.
    is_only = len(outcomes) == 1 and not outcomes[0].job
    output = _output_step(run_id, failed, is_only=is_only)
    lines += output
    if failed and can_rerun:
        again = f"run {'it' if len(failed) == 1 else 'them'} again:"
        # Both commands begin in the same column.
        lines.append(f"  {again:<{16 if output else 0}}  mlcube-remote rerun {run_id} --failed")
    lines += _pull_steps(run_id, outcomes, on_host)
    return "\n".join([*lines, *_running_steps(run_id, outcomes, can_rerun=can_rerun)])


def _output_step(run_id: str, failed: Sequence[JobOutcome], *, is_only: bool) -> list[str]:
    """Return how to read the output of the first job whose task failed."""
    for outcome in failed:
        if any(task.status in {Status.FAILED, Status.KILLED} for task in outcome.tasks):
            address = run_id if is_only else f"{run_id}/{outcome.name}"
            return [f"  read its output:  mlcube-remote logs {shlex.quote(address)}"]
    return []


def _pull_steps(run_id: str, outcomes: Sequence[JobOutcome], on_host: Collection[str]) -> list[str]:
    """Return how to get the outputs of jobs that have ended on their hosts."""
    lines = []
    failed = [
        each.label
        for each in outcomes
        # A wrong name on the command line says nothing about the other outputs.
        if failure_kind(each) is FailureKind.PULL and not isinstance(each.error, UsageError)
    ]
    if failed:
        names = shorten_names(failed)
        lines.append(f"succeeded, but the outputs are still on the host: {names}")
    if left := [each.label for each in outcomes if _has_left_outputs(each, on_host)]:
        lines.append(f"the outputs are still on the host: {shorten_names(left)}")
    return [*lines, f"  pull them:  mlcube-remote pull {run_id}"] if lines else []


def _has_left_outputs(outcome: JobOutcome, on_host: Collection[str]) -> bool:
    """Return whether a job has ended, and nothing has tried to pull its outputs."""
    has_ended = outcome.status not in {*OPEN, Status.UNKNOWN}
    has_made_some = any(task.exit_code is not None for task in outcome.tasks)
    is_left = has_ended and has_made_some and outcome.name in on_host
    return is_left and failure_kind(outcome) is not FailureKind.PULL


def _running_steps(run_id: str, outcomes: Sequence[JobOutcome], *, can_rerun: bool) -> list[str]:
    """Return how to continue with jobs that are running, or possibly running."""
    running = [
        each
        for each in outcomes
        if each.status in {*OPEN, Status.UNKNOWN} and failure_kind(each) is not FailureKind.PULL
    ]
    if not running:
        return []
    unknown_hosts = [each.host for each in running if each.status is Status.UNKNOWN]
    verb = "may still run" if len(unknown_hosts) == len(running) else "still runs"
    if all(each.status is Status.QUEUED for each in running):
        verb = "is queued"
    lines = [
        f"run {run_id} {verb} on {shorten_names([each.label for each in running])}",
        f"  follow it:  mlcube-remote attach {run_id}",
        f"  stop it:    mlcube-remote stop {run_id}",
    ]
    if unknown_hosts and can_rerun:
        hosts = list(dict.fromkeys(unknown_hosts))
        condition = f"if {'the host is' if len(hosts) == 1 else 'these hosts are'} gone for good"
        gone = shlex.quote(format_ranges(hosts))
        lines.append(f"  {condition}:  mlcube-remote rerun {run_id} --failed --gone={gone}")
    return lines


def shorten_names(names: Sequence[str]) -> str:
    """Return names with their numbers as ranges; of many different names some, and the total."""
    ranges = split_commas(format_ranges(names))
    more = f" … ({len(names)} in all)" if len(ranges) > _MAX_LISTED else ""
    return ", ".join(ranges[:_MAX_LISTED]) + more
