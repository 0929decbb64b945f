# SPDX-License-Identifier: Apache-2.0
"""Telling what happens: one host's events, on one clock, with its stages timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from mlcube_remote.dispatch.events import (
    Event,
    EventSink,
    JobFinished,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.dispatch.outcome import JobOutcome
from mlcube_remote.transport.base import OutputSink, Stream


@attrs.define
class StageNotes:
    """What a stage wants to be said of it when it ends."""

    detail: str = ""
    skipped: bool = False


@attrs.define(kw_only=True)
class Journal:
    """Gives off the events of one host and keeps its seconds per stage."""

    host: str
    began: float
    """When the run began, on the monotonic clock."""
    sink: EventSink
    seconds: dict[str, float] = attrs.field(factory=dict)

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _tell(self, event: Event) -> None:
        self.sink(event)

    @contextmanager
    def stage(self, stage: Stage, task: str | None = None) -> Iterator[StageNotes]:
        """Time a stage; it counts as finished only when the block ends without an error."""
        start = self._now()
        self._tell(StageStarted(host=self.host, at=start, stage=stage, task=task))
        notes = StageNotes()
        try:
            yield notes
        finally:
            took = self._now() - start
            self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + took
        self._tell(
            StageFinished(
                host=self.host,
                at=self._now(),
                stage=stage,
                task=task,
                seconds=took,
                detail=notes.detail,
                skipped=notes.skipped,
            )
        )

    def progress(self, stage: Stage, detail: str, fraction: float | None = None) -> None:
        """Tell how far a stage is."""
        self._tell(
            StageProgress(
                host=self.host, at=self._now(), stage=stage, detail=detail, fraction=fraction
            )
        )

    def note(self, level: Level, text: str) -> None:
        """Tell the user something in a line."""
        self._tell(Note(host=self.host, at=self._now(), level=level, text=text))

    def output(self, stage: Stage, task: str | None) -> OutputSink:
        """Return a sink that gives off a program's bytes as events."""

        def pass_on(stream: Stream, data: bytes) -> None:
            self._tell(
                Output(
                    host=self.host, at=self._now(), stage=stage, task=task, stream=stream, data=data
                )
            )

        return pass_on

    def finished(self, outcome: JobOutcome) -> None:
        """Tell that the job is over."""
        self._tell(JobFinished(host=self.host, at=self._now(), outcome=outcome))
