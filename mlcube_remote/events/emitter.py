# SPDX-License-Identifier: Apache-2.0
"""Telling what happens: one job's events, on one clock, with its stages timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from mlcube_remote.events.model import (
    Event,
    EventSink,
    JobFinished,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.transport.base import OutputSink, Stream


@attrs.define
class StageNotes:
    """What a stage wants to be said of it when it ends."""

    detail: str = ""
    skipped: bool = False


@attrs.define(kw_only=True)
class JobEvents:
    """Gives off the events of one job and keeps its seconds per stage."""

    host: str
    job: str = ""
    """The job's name where its host may have several."""
    began: float
    """When the run began, on the monotonic clock."""
    sink: EventSink
    seconds: dict[str, float] = attrs.field(factory=dict)

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _about(self, at: float | None = None) -> dict[str, Any]:
        return {
            "host": self.host,
            "job": self.job,
            "at": self._now() if at is None else at,
        }

    def _tell(self, event: Event) -> None:
        self.sink(event)

    @contextmanager
    def stage(self, stage: Stage, task: str | None = None) -> Iterator[StageNotes]:
        """Time a stage; it counts as finished only when the block ends without an error."""
        start = self._now()
        self._tell(StageStarted(**self._about(start), stage=stage, task=task))
        notes = StageNotes()
        try:
            yield notes
        finally:
            took = self._now() - start
            self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + took
        self._tell(
            StageFinished(
                **self._about(),
                stage=stage,
                task=task,
                seconds=took,
                detail=notes.detail,
                skipped=notes.skipped,
            )
        )

    def progress(self, stage: Stage, detail: str, fraction: float | None = None) -> None:
        """Tell how far a stage is."""
        self._tell(StageProgress(**self._about(), stage=stage, detail=detail, fraction=fraction))

    def note(self, level: Level, text: str) -> None:
        """Tell the user something in a line."""
        self._tell(Note(**self._about(), level=level, text=text))

    def output(self, stage: Stage, task: str | None) -> OutputSink:
        """Return a sink that gives off a program's bytes as events."""

        def pass_on(stream: Stream, data: bytes) -> None:
            self._tell(Output(**self._about(), stage=stage, task=task, stream=stream, data=data))

        return pass_on

    def finished(self, outcome: JobOutcome) -> None:
        """Tell that the job is over."""
        self._tell(JobFinished(**self._about(), outcome=outcome))

    def moved(self, reason: str) -> None:
        """Tell that the job is to be done again."""
        self._tell(JobRetried(**self._about(), reason=reason))
