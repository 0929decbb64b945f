# SPDX-License-Identifier: Apache-2.0
"""When each job was in which stage, as bars of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from mlcube_remote.events.model import Stage
from mlcube_remote.formatting import readable_duration

Attempt = Mapping[str, Any]

WAIT = "wait"
"""The time from the start of the run until a job began."""

_BEFORE_RUN = (Stage.CONNECT.value, Stage.SYNC.value, Stage.CONFIGURE.value)
_STAGES = (*_BEFORE_RUN, Stage.RUN.value, Stage.PULL.value)


@attrs.frozen(kw_only=True)
class Bar:
    """One stage of one job."""

    stage: str
    left: float
    """Start, in percent of the run's time."""
    width: float
    title: str


@attrs.frozen(kw_only=True)
class Line:
    """The bars of one job."""

    label: str
    bars: tuple[Bar, ...]


def draw_timeline(rows: Sequence[tuple[str, Attempt]]) -> tuple[tuple[Line, ...], str]:
    """Return a line for each job, and the time that all of them together took.

    The jobs of a host follow each other, in the order in which they began: so it can be seen which
    job waited for which.

    A job's record has the duration of each stage, and when its host started the first task. The
    stages before it end there. Jobs that started no task begin with the run.

    Args:
        rows: (label, attempt) of each job.
    """
    found = [(str(attempt["host"] or ""), label, _spans(attempt)) for label, attempt in rows]
    # Sorting keeps the order of what is equal.
    found.sort(key=lambda each: (each[0], each[2][0][1] if each[2] else 0.0))
    spans = [(label, span) for _, label, span in found]
    starts = [span[0][1] for _, span in spans if span and span[0][1] > 0]
    begin = min(starts, default=0.0)
    placed = [(label, _from(span, begin)) for label, span in spans]
    whole = max((start + took for _, span in placed for _, start, took in span), default=0.0)
    lines = tuple(Line(label=label, bars=_bars(span, whole or 1.0)) for label, span in placed)
    return lines, readable_duration(round(whole))


_Span = tuple[str, float, float]
"""Stage, start in seconds since the epoch by this machine's clock, seconds."""


def _spans(attempt: Attempt) -> list[_Span]:
    seconds = attempt["seconds"]
    before = sum(float(seconds.get(stage, 0.0)) for stage in _BEFORE_RUN)
    at = _task_start(attempt)
    at = 0.0 if at is None else at - before
    spans = []
    for stage in _STAGES:
        if took := float(seconds.get(stage, 0.0)):
            spans.append((stage, at, took))
            at += took
    return spans


def _task_start(attempt: Attempt) -> float | None:
    """Return when the first task started, by this machine's clock."""
    found = attempt["provenance"] or {}
    ahead = found.get("host", {}).get("time", 0) - found.get("client", {}).get("time", 0)
    exact = [task.get("started_ms") for task in found.get("tasks", ())]
    times = [value / 1000 for value in exact if value is not None]
    times = times or [task["started"] for task in attempt["tasks"] if task.get("started")]
    # Both clocks were read within seconds: a smaller difference means nothing.
    return min(times) - (ahead if abs(ahead) > 1 else 0) if times else None


def _from(span: list[_Span], begin: float) -> list[_Span]:
    if not span:
        return []
    start = span[0][1]
    shift = begin if start > 0 else 0.0
    moved = [(stage, at - shift, took) for stage, at, took in span]
    waited = moved[0][1]
    return [(WAIT, 0.0, waited), *moved] if waited > 0 else moved


def _bars(span: Sequence[_Span], whole: float) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            stage=stage,
            left=round(100 * at / whole, 3),
            width=round(max(100 * took / whole, 0.1), 3),
            title=f"{stage}: {took:.1f} s",
        )
        for stage, at, took in span
    )


def local_time(text: str | None) -> str:
    """Return a time of a record as people read it; an unreadable one as it is."""
    try:
        return f"{datetime.fromisoformat(text or ''):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text or ""
