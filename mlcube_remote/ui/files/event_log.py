# SPDX-License-Identifier: Apache-2.0
"""``--events FILE``: write events as JSON lines while the run happens.

docs/reference/events.md describes the lines; a test compares it with :data:`FIELDS`.
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
from mlcube_remote.ui.files.json_output import run_status

VERSION = 1
"""Version of the lines; increased if a field changes its meaning."""

FIELDS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    events.TrialStarted: ("trial-started", ("parameters",)),
    events.StageStarted: ("stage-started", ("stage", "task")),
    events.StageProgress: ("stage-progress", ("stage", "detail", "fraction")),
    events.StageFinished: ("stage-finished", ("stage", "task", "seconds", "detail", "skipped")),
    events.Output: ("output", ("stage", "task", "stream", "text")),
    events.Note: ("note", ("level", "text")),
    events.JobQueued: ("job-queued", ("reason",)),
    events.ConnectionLost: ("connection-lost", ("reason", "retry_in")),
    events.ConnectionRestored: ("connection-restored", ("seconds",)),
    events.JobRetried: ("job-moved", ("reason",)),
    events.JobFinished: ("job-finished", ("outcome",)),
}
"""Event → its name in the file, and its fields in addition to those of all lines."""

STARTED, FINISHED = "run-started", "run-finished"
RUN_FIELDS = {STARTED: ("jobs",), FINISHED: ("status", "exit_code")}
"""Lines about the run, not about one job → their fields."""

_StreamKey = tuple[str, str, Any, Any, Any]


@attrs.define(kw_only=True)
class EventLog:
    """Writes events to a file, one complete line at a time.

    If a write fails, for example because the disk is full, the log stops and the run continues.
    """

    run_id: str
    file: TextIO
    problem: OSError | None = attrs.field(default=None, init=False)
    """Why later events are missing from the file."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _decoders: dict[_StreamKey, codecs.IncrementalDecoder] = attrs.field(factory=dict, init=False)

    def write_start(self, jobs: Sequence[str]) -> None:
        """Write the first line.

        Args:
            jobs: Names of the run's jobs.
        """
        with self._lock:
            self._write(STARTED, at=0.0, jobs=list(jobs))

    def handle(self, event: Event) -> None:
        """Write an event; may be called from many threads."""
        with self._lock:
            if isinstance(event, Output):
                self._write_output(event)
                return
            if isinstance(event, (StageFinished, JobFinished)):
                self._write_incomplete(event)
            name, fields = FIELDS[type(event)]
            values = {field: _json_value(getattr(event, field)) for field in fields}
            self._write_event(name, event, **values)

    def write_end(self, outcomes: Sequence[JobOutcome], at: float) -> None:
        """Write the last line.

        Args:
            outcomes: The outcomes of all jobs.
            at: Seconds since the run started.
        """
        with self._lock:
            code = exit_code(outcomes)
            self._write(FINISHED, at=at, status=run_status(outcomes), exit_code=code)

    def _write_output(self, event: Output) -> None:
        """Write output; a character split between two events is written with the second one."""
        key = (event.host, event.job, event.stage, event.task, event.stream)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            self._decoders[key] = decoder
        self._write_text(event, key, decoder.decode(event.data))

    def _write_incomplete(self, event: Event) -> None:
        """Write the bytes of characters that a job has left incomplete."""
        keys = [key for key in self._decoders if key[:2] == (event.host, event.job)]
        for key in keys:
            self._write_text(event, key, self._decoders.pop(key).decode(b"", final=True))

    def _write_text(self, event: Event, key: _StreamKey, text: str) -> None:
        if text:
            _, _, stage, task, stream = key
            name, _ = FIELDS[Output]
            fields = {"stage": stage.value, "task": task, "stream": stream.value, "text": text}
            self._write_event(name, event, **fields)

    def _write_event(self, name: str, event: Event, **fields: Any) -> None:
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


def _json_value(value: Any) -> Any:
    if isinstance(value, JobOutcome):
        return job_document(value)
    if isinstance(value, float):
        return round(value, 3)
    return value.value if isinstance(value, Enum) else value
