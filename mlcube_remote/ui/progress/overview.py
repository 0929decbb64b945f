# SPDX-License-Identifier: Apache-2.0
"""Many jobs in a few lines: jobs per stage, the slowest jobs, failed jobs and their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import Status
from mlcube_remote.ui.progress.job_row import JobRow, label_width
from mlcube_remote.ui.progress.total import render_progress
from mlcube_remote.ui.text import one_line

MAX_LISTED = 3
"""Maximum number of slowest jobs, and of failed jobs, that are listed."""

_WAITING, _LOST, _QUEUED = "waiting", "no connection", "queued"
_STAGES = (_WAITING, _LOST, _QUEUED, *(stage.value for stage in Stage))
_STATUSES = tuple(status.value for status in Status)
_STYLES = {Status.SUCCEEDED.value: "green", Status.RUNNING.value: "yellow"}


def render_overview(rows: Sequence[JobRow], now: float, *, unicode: bool) -> list[Text]:
    """Return the display of many jobs, at most nine lines.

    Args:
        rows: The jobs.
        now: Time on the monotonic clock.
        unicode: Whether the terminal shows more than ASCII.
    """
    lines = [render_progress(rows, now, unicode=unicode), *_counts(rows)]
    width = label_width(rows)
    started = (row for row in rows if row.stage or row.last_stage)
    busy = (row for row in started if not (row.result or row.queued))
    slowest = sorted(busy, key=lambda row: row.since)
    for number, row in enumerate(slowest[:MAX_LISTED]):
        line = _listed_job("slowest" if number == 0 else "", row, width)
        lines.append(line.append_text(row.render_current(now)))
    failed = [row for row in rows if row.failed and row.result != Status.CANCELLED.value]
    for number, row in enumerate(failed[-MAX_LISTED:]):
        line = _listed_job("failed" if number == 0 else "", row, width)
        lines.append(line.append(one_line(row.reason or row.result), style="red"))
    return lines


def _counts(rows: Sequence[JobRow]) -> list[Text]:
    """Return one line with the number of jobs per stage, and one with those per final status."""
    stages = Counter(_stage_name(row) for row in rows if not row.result)
    results = Counter(row.result for row in rows if row.result)
    return [
        line
        for line in (_count_line(_STAGES, stages, "bold"), _count_line(_STATUSES, results, "red"))
        if line
    ]


def _count_line(names: Sequence[str], counts: Counter[str], style: str) -> Text | None:
    if not counts:
        return None
    text = Text(" ")
    for name in names:
        if counts[name]:
            text.append(f" {name} {counts[name]} ", style=_STYLES.get(name, style))
    text.rstrip()
    return text


def _stage_name(row: JobRow) -> str:
    if row.lost:
        return _LOST
    if row.queued:
        return _QUEUED
    stage = row.stage or row.last_stage
    return stage.value if stage else _WAITING


def _listed_job(heading: str, row: JobRow, width: int) -> Text:
    label = row.label if len(row.label) <= width else row.label[: width - 1] + "+"
    return Text(f"  {heading:<8}", style="dim").append(f"{label:<{width}}  ", style="not dim")
