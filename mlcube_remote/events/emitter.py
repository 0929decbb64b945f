# SPDX-License-Identifier: Apache-2.0
"""Emit the events of one job, on one clock, and time its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    EventSink,
    JobFinished,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
    TrialStarted,
)
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.transport.base import OutputSink, Stream


@attrs.define
class StageNotes:
    """What a stage reports when it ends."""

    detail: str = ""
    skipped: bool = False
    seconds: float = 0.0
    """Duration of what the stage is about, if it began before the stage."""


@attrs.define(kw_only=True)
class JobEvents:
    """Emits the events of one job, and adds up the seconds of each stage."""

    host: str
    job: str = ""
    """The job's name, if its host may have several."""
    began: float
    """Start of the run, on the monotonic clock."""
    sink: EventSink
    seconds: dict[str, float] = attrs.field(factory=dict)
    """Stage name → seconds so far."""

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _about(self, at: float | None = None) -> dict[str, Any]:
        return {
            "host": self.host,
            "job": self.job,
            "at": self._now() if at is None else at,
        }

    def _emit(self, event: Event) -> None:
        self.sink(event)

    def trial(self, parameters: Mapping[str, str]) -> None:
        """Report that a job of a sweep starts, with its parameters."""
        self._emit(TrialStarted(**self._about(), parameters=dict(parameters)))

    @contextmanager
    def stage(self, stage: Stage, task: str | None = None) -> Iterator[StageNotes]:
        """Time a stage. It counts as finished only if the block ends without an error."""
        start = self._now()
        self._emit(StageStarted(**self._about(start), stage=stage, task=task))
        notes = StageNotes()
        try:
            yield notes
        finally:
            took = max(self._now() - start, notes.seconds)
            self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + took
        self._emit(
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
        """Report the progress of a stage."""
        self._emit(StageProgress(**self._about(), stage=stage, detail=detail, fraction=fraction))

    def note(self, level: Level, text: str) -> None:
        """Show the user one line of text."""
        self._emit(Note(**self._about(), level=level, text=text))

    def queued(self, reason: str) -> None:
        """Report that the job waits in the queue of its cluster, and why."""
        self._emit(JobQueued(**self._about(), reason=reason))

    def connection_lost(self, reason: str, retry_in: float) -> None:
        """Report that there is no connection, and the seconds until the next attempt."""
        self._emit(ConnectionLost(**self._about(), reason=reason, retry_in=retry_in))

    def connection_restored(self, seconds: float) -> None:
        """Report that there is a connection again, after so many seconds."""
        self._emit(ConnectionRestored(**self._about(), seconds=seconds))

    def output(self, stage: Stage, task: str | None) -> OutputSink:
        """Return a sink that emits a program's bytes as events."""

        def pass_on(stream: Stream, data: bytes) -> None:
            self._emit(Output(**self._about(), stage=stage, task=task, stream=stream, data=data))

        return pass_on

    def finished(self, outcome: JobOutcome) -> None:
        """Report that the job is over."""
        self._emit(JobFinished(**self._about(), outcome=outcome))

    def retried(self, reason: str) -> None:
        """Report that the job will be retried."""
        self._emit(JobRetried(**self._about(), reason=reason))
