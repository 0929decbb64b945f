# SPDX-License-Identifier: Apache-2.0
"""The table of ``status``: states, start, elapsed time, and where the outputs are."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.formatting import readable_duration
from mlcube_remote.ui.files.json_output import run_document
from mlcube_remote.ui.tables.columns import format_table
from mlcube_remote.ui.tables.summary import format_parameters, reason_lines
from mlcube_remote.ui.text import one_line


def status_text(
    outcomes: Sequence[JobOutcome], on_host: Collection[str], *, now: float, width: int | None
) -> str:
    """Return a row for each task, then the reasons of failures.

    Args:
        outcomes: The states of the jobs.
        on_host: Names of the jobs whose outputs are still on their hosts.
        now: The time, in seconds since the epoch.
        width: Columns of the terminal; ``None``: no limit.
    """
    header = ["host", "parameters", "task", "state", "exit", "started", "elapsed", "outputs"]
    rows = [row for outcome in outcomes for row in _rows(outcome, on_host, now)]
    if not any(outcome.parameters for outcome in outcomes):
        header.pop(1)
        rows = [[*row[:1], *row[2:]] for row in rows]
    table = format_table(
        header, rows, width=width, spare=("exit",), shrink=("parameters", "task", "host")
    )
    reasons = reason_lines(outcomes)
    return "\n\n".join([table, "\n".join(reasons)] if reasons else [table])


def _rows(outcome: JobOutcome, on_host: Collection[str], now: float) -> list[list[str]]:
    rows = []
    first = [outcome.label, format_parameters(outcome)]
    place = _outputs(outcome, on_host)
    for task in outcome.tasks or (None,):
        rows.append([*first, *_cells(outcome, task, now), place])
        # Only the first row of a job shows what is the same for all its tasks.
        first, place = ["", ""], ""
    return rows


def _cells(outcome: JobOutcome, task: TaskOutcome | None, now: float) -> list[str]:
    if task is None:
        return ["-", outcome.status.value, "", "", ""]
    started, seconds = "", task.seconds
    if task.started is not None:
        started = time.strftime("%m-%d %H:%M", time.localtime(task.started))
        if task.status is Status.RUNNING:
            seconds = max(0.0, now - task.started)
    return [
        one_line(task.task),
        task.status.value,
        "" if task.exit_code is None else str(task.exit_code),
        started,
        "" if seconds is None else readable_duration(round(seconds)),
    ]


def _outputs(outcome: JobOutcome, on_host: Collection[str]) -> str:
    if all(task.status is Status.NOT_STARTED for task in outcome.tasks):
        return "-"
    return "on the host" if outcome.name in on_host else "here"


def status_document(
    run_id: str, outcomes: Sequence[JobOutcome], exit_code: int, on_host: Collection[str]
) -> dict[str, Any]:
    """Return the same as JSON: the document of a run, with ``outputs_on_host`` for each job."""
    document = run_document(run_id, outcomes, exit_code)
    for outcome, job in zip(outcomes, document["jobs"], strict=True):
        job["outputs_on_host"] = outcome.name in on_host
    return document
