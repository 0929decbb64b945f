# SPDX-License-Identifier: Apache-2.0
"""Keeping the index of a run's results up to date while its jobs end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import attrs

from mlcube_remote.dispatch.events import Event, JobFinished
from mlcube_remote.errors import RecordError
from mlcube_remote.runs.results_index import write_index
from mlcube_remote.runs.store import Store

PAUSE = 2.0
"""Seconds between two indexes: a thousand jobs that end at once are not a thousand of them."""


@attrs.define(kw_only=True)
class Indexer:
    """Writes ``results.json`` when a job has ended, and once more at the end."""

    store: Store
    run_id: str
    home: Path
    """The folder of the run's results."""
    problems: dict[str, None] = attrs.field(factory=dict, init=False)
    """What is to be told the user, in order, each once: a run does not end for it."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _last: float = attrs.field(default=float("-inf"), init=False)

    def handle(self, event: Event) -> None:
        """Note an event; may be called from many threads."""
        if not isinstance(event, JobFinished):
            return
        with self._lock:
            if time.monotonic() < self._last + PAUSE:
                return
            self._last = time.monotonic()
        self.write()

    def write(self) -> None:
        """Write the index as things stand."""
        try:
            write_index(self.run_id, self.store, self.home, self._note)
        except RecordError as problem:
            self._note(str(problem))

    def _note(self, problem: str) -> None:
        self.problems[problem] = None
