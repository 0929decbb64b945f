# SPDX-License-Identifier: Apache-2.0
"""Keep the index of a run's results up to date while its jobs end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import attrs

from mlcube_remote.errors import RecordError
from mlcube_remote.events.model import Event, JobFinished
from mlcube_remote.runs.results_index import write_index
from mlcube_remote.runs.store import Store

WRITE_INTERVAL_S = 2.0
"""Minimum interval between two writes of ``results.json``, for runs with many jobs."""

_SHARE = 0.05
"""Maximum share of the time for writing it: each write reads the records of all jobs."""


@attrs.define(kw_only=True)
class ResultsIndexer:
    """Writes ``results.json`` when a job ends, and at the end of the run."""

    store: Store
    run_id: str
    home: Path
    """Directory of the run's results."""
    problems: dict[str, None] = attrs.field(factory=dict, init=False)
    """Warnings for the user, in order and without repetition; they do not stop the run."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _next: float = attrs.field(default=float("-inf"), init=False)
    """Time before which it is not written, except at the end."""

    def handle(self, event: Event) -> None:
        """Take an event; may be called from many threads."""
        if not isinstance(event, JobFinished):
            return
        with self._lock:
            began = time.monotonic()
            if began < self._next:
                return
            self._next = float("inf")
        self.write()
        took = time.monotonic() - began
        self._next = began + max(WRITE_INTERVAL_S, took / _SHARE)

    def write(self) -> None:
        """Write the current index."""
        try:
            write_index(self.run_id, self.store, self.home, self._note)
        except RecordError as problem:
            self._note(str(problem))

    def _note(self, problem: str) -> None:
        self.problems[problem] = None
