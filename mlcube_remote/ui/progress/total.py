# SPDX-License-Identifier: Apache-2.0
"""All jobs of a run in one line with a bar."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from mlcube_remote.ui.progress.job_row import JobRow
from mlcube_remote.ui.progress.tally import Tally

_BAR_WIDTH = 30
_SHORT_BAR_WIDTH = 10
"""Columns of the bar in a line that has the counts too."""


def render_progress(rows: Collection[JobRow], now: float, *, unicode: bool) -> Text:
    """Return how many jobs are done, with a bar, and about how long the others take.

    Args:
        rows: The jobs.
        now: Time on the monotonic clock.
        unicode: Whether the terminal shows more than ASCII.
    """
    tally = count_rows(rows)
    left = tally.left(now)
    line = _bar(rows, tally, _BAR_WIDTH, unicode=unicode)
    return line.append(f"  {left}" if left else "", style="not dim")


def render_total(rows: Collection[JobRow], now: float, *, unicode: bool) -> Text:
    """Return the same with the numbers of jobs that run, wait and have failed."""
    tally = count_rows(rows)
    line = _bar(rows, tally, _SHORT_BAR_WIDTH, unicode=unicode)
    return line.append(f"  {', '.join(tally.counts(now))}", style="not dim")


def count_rows(rows: Collection[JobRow]) -> Tally:
    """Return the jobs in numbers."""
    unfinished = [row for row in rows if not row.result]
    queued = sum(bool(row.queued) for row in unfinished)
    began = tuple(row.began for row in unfinished if row.began is not None and not row.queued)
    return Tally(
        done=len(rows) - len(unfinished),
        failed=sum(row.failed for row in rows),
        queued=queued,
        waiting=len(unfinished) - len(began) - queued,
        began=began,
        took=tuple(row.seconds for row in rows if row.seconds is not None),
    )


def _bar(rows: Collection[JobRow], tally: Tally, width: int, *, unicode: bool) -> Text:
    filled = width * tally.done // len(rows)
    full, empty = ("━", "─") if unicode else ("#", "-")
    noun = "jobs" if any("@" in row.label for row in rows) else "hosts"
    text = Text(f"{tally.done} of {len(rows)} {noun} ")
    text.append(full * filled, style="green")
    return text.append(empty * (width - filled), style="dim")
