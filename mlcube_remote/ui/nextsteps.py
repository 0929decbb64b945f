# SPDX-License-Identifier: Apache-2.0
"""What closes a command: who failed, and the one command that goes on from there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from mlcube_remote.dispatch.fault import Fault, fault_of
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.inventory.host_ranges import split_commas
from mlcube_remote.ui.folding import folded

_FEW = 8
"""Names, or ranges of them, that are listed before the rest is counted."""

_LINES = (
    (Fault.TASK, "task", "failed"),
    (Fault.HOST, "host", "failed"),
    (Fault.CANCELLED, "job", "cancelled"),
)


def next_steps(run_id: str, outcomes: Sequence[JobOutcome], *, can_rerun: bool) -> str:
    """Return who failed, on which account, and how to go on; nothing where nothing is left to do.

    Args:
        run_id: The run.
        outcomes: How its jobs ended.
        can_rerun: Whether the run is remembered with its arguments.
    """
    lines = []
    faults = [(fault_of(outcome), outcome) for outcome in outcomes]
    for fault, noun, verb in _LINES:
        names = [outcome.label for found, outcome in faults if found is fault]
        if names and len(outcomes) > 1:
            many = "" if len(names) == 1 else "s"
            lines.append(f"{len(names)} {noun}{many} {verb}: {listed(names)}")
    if lines and can_rerun:
        lines.append(f"  run them again:  mlcube-remote rerun {run_id} --failed")
    return "\n".join([*lines, *_going_on(run_id, outcomes, can_rerun=can_rerun)])


def _going_on(run_id: str, outcomes: Sequence[JobOutcome], *, can_rerun: bool) -> list[str]:
    going_on = [each for each in outcomes if each.status in {Status.RUNNING, Status.UNKNOWN}]
    if not going_on:
        return []
    unknown = all(each.status is Status.UNKNOWN for each in going_on)
    verb = "may still run" if unknown else "still runs"
    lines = [
        f"run {run_id} {verb} on {listed([each.label for each in going_on])}",
        f"  follow it:  mlcube-remote attach {run_id}",
        f"  stop it:    mlcube-remote stop {run_id}",
    ]
    silent = [each.host for each in going_on if each.status is Status.UNKNOWN]
    if silent and can_rerun:
        gone = shlex.quote(folded(dict.fromkeys(silent)))
        lines.append(
            f"  if that is gone for good:  mlcube-remote rerun {run_id} --failed --gone={gone}"
        )
    return lines


def listed(names: Sequence[str]) -> str:
    """Return names with their numbers as ranges; of many different ones some, and their number."""
    kinds = split_commas(folded(names))
    more = f" … ({len(names)} in all)" if len(kinds) > _FEW else ""
    return ", ".join(kinds[:_FEW]) + more
