# SPDX-License-Identifier: Apache-2.0
"""All jobs of a run in one line: done, running, waiting, failed, and about the time left."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from mlcube_remote.formatting import readable_duration
from mlcube_remote.ui.progress.job_row import JobRow

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
    line = _bar(rows, _BAR_WIDTH, unicode=unicode)
    left = time_left(rows, now)
    return line.append(f"  {left}" if left else "", style="not dim")


def render_total(rows: Collection[JobRow], now: float, *, unicode: bool) -> Text:
    """Return the same with the numbers of jobs that run, wait and have failed."""
    line = _bar(rows, _SHORT_BAR_WIDTH, unicode=unicode)
    return line.append(f"  {', '.join(_counts(rows, now))}", style="not dim")


def describe_total(rows: Collection[JobRow], now: float) -> str:
    """Return the same as text without a bar."""
    done = sum(bool(row.result) for row in rows)
    return ", ".join([f"{done} of {len(rows)} {_noun(rows)} done", *_counts(rows, now)])


def time_left(rows: Collection[JobRow], now: float) -> str:
    """Return about how long the unfinished jobs take: ``about 5m 3s left``.

    They are expected to take as long as the finished ones on average, as many at a time as now.
    Empty if nothing is known about that.
    """
    took = [row.seconds for row in rows if row.seconds is not None]
    unfinished = [row for row in rows if not row.result]
    running = [now - row.began for row in unfinished if row.began is not None]
    if not took or not unfinished:
        return ""
    average = sum(took) / len(took)
    rests = [max(average - since, 0.0) for since in running]
    waiting = len(unfinished) - len(running)
    left = max([(sum(rests) + waiting * average) / max(len(running), 1), *rests])
    return f"about {readable_duration(round(left))} left" if left >= 1 else ""


def _counts(rows: Collection[JobRow], now: float) -> list[str]:
    running = sum(not row.result and row.began is not None for row in rows)
    waiting = sum(not row.result and row.began is None for row in rows)
    failed = sum(row.failed for row in rows)
    counts = {"running": running, "waiting": waiting, "failed": failed}
    left = time_left(rows, now)
    texts = [f"{count} {name}" for name, count in counts.items() if count]
    return [*texts, *([left] if left else [])]


def _bar(rows: Collection[JobRow], width: int, *, unicode: bool) -> Text:
    done = sum(bool(row.result) for row in rows)
    filled = width * done // len(rows)
    full, empty = ("━", "─") if unicode else ("#", "-")
    text = Text(f"{done} of {len(rows)} {_noun(rows)} ")
    text.append(full * filled, style="green")
    return text.append(empty * (width - filled), style="dim")


def _noun(rows: Collection[JobRow]) -> str:
    return "jobs" if any("@" in row.label for row in rows) else "hosts"
