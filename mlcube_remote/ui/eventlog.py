# SPDX-License-Identifier: Apache-2.0
"""``--events FILE``: what happens, as it happens, one JSON document a line.

docs/reference/events.md describes the lines; a test holds it against :data:`FIELDS`.
"""

from __future__ import annotations

import codecs
import json
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TextIO

import attrs

from mlcube_remote.events import model as events
from mlcube_remote.events.documents import job_document
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.model import Event, JobFinished, Output, StageFinished
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.ui.document import run_status

VERSION = 1
"""Of the lines; raised when something in them changes its meaning."""

FIELDS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    events.StageStarted: ("stage-started", ("stage", "task")),
    events.StageProgress: ("stage-progress", ("stage", "detail", "fraction")),
    events.StageFinished: ("stage-finished", ("stage", "task", "seconds", "detail", "skipped")),
    events.Output: ("output", ("stage", "task", "stream", "text")),
    events.Note: ("note", ("level", "text")),
    events.JobRetried: ("job-moved", ("reason",)),
    events.JobFinished: ("job-finished", ("outcome",)),
}
"""Event → its name in the file, and the fields that it adds to those of all lines."""

STARTED, FINISHED = "run-started", "run-finished"
RUN_FIELDS = {STARTED: ("jobs",), FINISHED: ("status", "exit_code")}
"""Lines about the run as a whole → their fields."""

_StreamKey = tuple[str, str, Any, Any, Any]


@attrs.define(kw_only=True)
class EventLog:
    """Writes events to a file, each line whole and at once; a file that is full ends no run."""

    run_id: str
    file: TextIO
    problem: OSError | None = attrs.field(default=None, init=False)
    """Why the file lacks what happened after, if it does."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _decoders: dict[_StreamKey, codecs.IncrementalDecoder] = attrs.field(factory=dict, init=False)

    def started(self, jobs: Sequence[str]) -> None:
        """Write the first line.

        Args:
            jobs: What the run's jobs are called.
        """
        with self._lock:
            self._write(STARTED, at=0.0, jobs=list(jobs))

    def handle(self, event: Event) -> None:
        """Write an event; may be called from many threads."""
        with self._lock:
            if isinstance(event, Output):
                self._output(event)
                return
            if isinstance(event, (StageFinished, JobFinished)):
                self._flush(event)
            name, fields = FIELDS[type(event)]
            self._tell(name, event, **{field: _plain(getattr(event, field)) for field in fields})

    def finished(self, outcomes: Sequence[JobOutcome], at: float) -> None:
        """Write the last line.

        Args:
            outcomes: How all jobs ended.
            at: Seconds since the run began.
        """
        with self._lock:
            code = exit_code(outcomes)
            self._write(FINISHED, at=at, status=run_status(outcomes), exit_code=code)

    def _output(self, event: Output) -> None:
        """Write what a program wrote, a character that came in two pieces as one."""
        key = (event.host, event.job, event.stage, event.task, event.stream)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            self._decoders[key] = decoder
        self._text(event, key, decoder.decode(event.data))

    def _flush(self, event: Event) -> None:
        """Write what is left of characters that never came whole."""
        mine = [key for key in self._decoders if key[:2] == (event.host, event.job)]
        for key in mine:
            self._text(event, key, self._decoders.pop(key).decode(b"", final=True))

    def _text(self, event: Event, key: _StreamKey, text: str) -> None:
        if text:
            _, _, stage, task, stream = key
            name, _ = FIELDS[Output]
            self._tell(name, event, stage=stage.value, task=task, stream=stream.value, text=text)

    def _tell(self, name: str, event: Event, **fields: Any) -> None:
        self._write(name, event.at, host=event.host or None, job=event.job or None, **fields)

    def _write(self, name: str, at: float, **fields: Any) -> None:
        if self.problem is not None:
            return
        line = {
            "version": VERSION,
            "event": name,
            "run": self.run_id,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "at": round(at, 3),
            **fields,
        }
        try:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        except OSError as problem:
            self.problem = problem


def _plain(value: Any) -> Any:
    if isinstance(value, JobOutcome):
        return job_document(value)
    if isinstance(value, float):
        return round(value, 3)
    return value.value if isinstance(value, Enum) else value
