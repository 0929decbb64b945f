# SPDX-License-Identifier: Apache-2.0
"""The jobs of a run on a terminal: a line per job and a total, or a summary of many jobs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, OverflowMethod, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlcube_remote.events.outcome import OPEN
from mlcube_remote.ui.host_ranges import MANY
from mlcube_remote.ui.progress.job_row import MIN_DETAIL, JobRow, label_width
from mlcube_remote.ui.progress.overview import render_overview
from mlcube_remote.ui.progress.total import render_total
from mlcube_remote.ui.tables.columns import columns_of

_MIN_COLUMN = 10
"""Columns for labels, and for parameters, on a narrow terminal."""

_ECHO_COLUMNS = 2
"""Columns that the terminal needs for ^C: if the last line were full, that would be below it."""


def render_jobs(
    rows: Sequence[JobRow], now: float, *, width: int, unicode: bool, spinner: Spinner
) -> RenderableType:
    """Return the display of all jobs; no line is wider than the terminal.

    Args:
        rows: The jobs.
        now: Time on the monotonic clock.
        width: Columns of the terminal.
        unicode: Whether the terminal shows more than ASCII.
        spinner: Shown beside each job that is in a stage.
    """
    overflow: OverflowMethod = "ellipsis" if unicode else "crop"
    if len(rows) > MANY:
        return Group(*_unwrapped(render_overview(rows, now, unicode=unicode), overflow))
    if len(rows) == 1:
        width -= _ECHO_COLUMNS  # the line of the job is the last one
    labels_width = min(label_width(rows), max(width // 3, _MIN_COLUMN))
    table = _start_table(width, labels_width, overflow)
    parameters_width = _add_parameters(table, rows, width, labels_width, overflow)
    table.add_column(no_wrap=True, overflow=overflow, ratio=1)
    free = width - labels_width - 3 - parameters_width
    for row in rows:
        parameters = (row.parameters,) if parameters_width else ()
        mark = _mark(row, spinner, unicode=unicode)
        table.add_row(mark, row.label, *parameters, row.render(now, free))
    if len(rows) == 1:
        return table
    return Group(table, *_unwrapped([render_total(rows, now, unicode=unicode)], overflow))


def _start_table(width: int, labels_width: int, overflow: OverflowMethod) -> Table:
    # The last column gets exactly the remaining width only if the table is expanded.
    table = Table.grid(padding=(0, 1), expand=True)
    table.width = width
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow=overflow, width=labels_width)
    return table


def _add_parameters(
    table: Table, rows: Sequence[JobRow], width: int, labels_width: int, overflow: OverflowMethod
) -> int:
    """Add the column for the parameters of trials, if there is room; return its width."""
    longest = max(columns_of(row.parameters) for row in rows)
    room = max(width - labels_width - 4 - MIN_DETAIL, 0)
    share = min(longest, max(width // 4, _MIN_COLUMN), room)
    if share < min(longest, _MIN_COLUMN) or not longest:
        return 0
    table.add_column(no_wrap=True, overflow=overflow, width=share, style="cyan")
    return share + 1


def _unwrapped(lines: list[Text], overflow: OverflowMethod) -> list[Text]:
    for line in lines:
        line.no_wrap, line.overflow = True, overflow
    return lines


def _mark(row: JobRow, spinner: Spinner, *, unicode: bool) -> RenderableType:
    if row.result in {status.value for status in OPEN}:
        return Text(">", style="yellow")
    good, bad = ("✓", "✗") if unicode else ("+", "x")
    if row.result:
        return Text(bad, style="red") if row.failed else Text(good, style="green")
    return spinner if row.stage is not None else Text("")
