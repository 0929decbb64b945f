# SPDX-License-Identifier: Apache-2.0
"""Many jobs in a few lines: how many are where, who is slowest, who failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import Status
from mlcube_remote.ui.jobline import JobLine
from mlcube_remote.ui.text import one_line

SHOWN = 3
"""Slowest and failed jobs that are shown, each."""

_BAR = 30
"""Columns of the bar."""

_STAGES = ("waiting", *(stage.value for stage in Stage))
_ENDS = tuple(status.value for status in Status)
_STYLES = {Status.SUCCEEDED.value: "green", Status.RUNNING.value: "yellow"}


def crowd(lines: Sequence[JobLine], now: float, *, unicode: bool) -> list[Text]:
    """Return the display of many jobs, at most nine lines.

    Args:
        lines: The jobs.
        now: The monotonic clock.
        unicode: Whether the terminal shows more than ASCII.
    """
    rows = [_progress(lines, unicode=unicode), *_counts(lines)]
    width = min(max(len(line.label) for line in lines), 24)
    begun = (line for line in lines if (line.stage or line.reached) and not line.result)
    busy = sorted(begun, key=lambda line: line.since)
    for number, line in enumerate(busy[:SHOWN]):
        rows.append(_row("slowest" if number == 0 else "", line, width))
        rows[-1].append_text(line.at_work(now))
    failed = [line for line in lines if line.failed and line.result != Status.CANCELLED.value]
    for number, line in enumerate(failed[-SHOWN:]):
        rows.append(_row("failed" if number == 0 else "", line, width))
        rows[-1].append(one_line(line.reason or line.result), style="red")
    return rows


def _progress(lines: Sequence[JobLine], *, unicode: bool) -> Text:
    over = sum(bool(line.result) for line in lines)
    full = _BAR * over // len(lines)
    done, left = ("━", "─") if unicode else ("#", "-")
    noun = "jobs" if any("@" in line.label for line in lines) else "hosts"
    text = Text(f"{over} of {len(lines)} {noun} ")
    text.append(done * full, style="green")
    return text.append(left * (_BAR - full), style="dim")


def _counts(lines: Sequence[JobLine]) -> list[Text]:
    """Return how many jobs are in each stage, and below it how many ended in which way."""
    at_work = Counter(_stage(line) for line in lines if not line.result)
    over = Counter(line.result for line in lines if line.result)
    rows = []
    for words, count in ((_STAGES, at_work), (_ENDS, over)):
        if count:
            text = Text(" ")
            for word in words:
                if count[word]:
                    style = _STYLES.get(word, "red" if count is over else "bold")
                    text.append(f" {word} {count[word]} ", style=style)
            text.rstrip()
            rows.append(text)
    return rows


def _stage(line: JobLine) -> str:
    stage = line.stage or line.reached
    return stage.value if stage else "waiting"


def _row(heading: str, line: JobLine, width: int) -> Text:
    label = line.label if len(line.label) <= width else line.label[: width - 1] + "+"
    return Text(f"  {heading:<8}", style="dim").append(f"{label:<{width}}  ", style="not dim")
