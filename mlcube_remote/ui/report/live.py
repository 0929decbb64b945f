# SPDX-License-Identifier: Apache-2.0
"""Keep the report of a run up to date while its jobs run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from mlcube_remote.events.model import Event, JobFinished, JobRetried, StageStarted
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.runs.attempts import compile_attempts
from mlcube_remote.runs.results_index import compile_index
from mlcube_remote.runs.store import Store
from mlcube_remote.ui.report.page import LiveState, render_report

INTERVAL_S = 3.0
"""Minimum seconds between the starts of two writes."""

REFRESH_S = 5
"""Seconds after which a browser loads a page again that is not the last one."""

_SHARE = 0.05
"""Maximum share of the time for writing: each report reads the records of all jobs."""

_WAITING = "waiting"


@attrs.define(kw_only=True)
class LiveReport:
    """The report of a run: takes events, and writes the page in a thread of its own."""

    path: Path
    run_id: str
    jobs: Sequence[str]
    """Names of the jobs that this command waits for."""
    store: Store = attrs.field(factory=Store)
    interval: float = INTERVAL_S
    problem: OSError | None = attrs.field(default=None, init=False)
    """Why the last write failed."""
    _states: dict[str, str] = attrs.field(init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _news: threading.Event = attrs.field(factory=threading.Event, init=False)
    _over: threading.Event = attrs.field(factory=threading.Event, init=False)

    @_states.default
    def _all_waiting(self) -> dict[str, str]:
        return dict.fromkeys(self.jobs, _WAITING)

    def handle(self, event: Event) -> None:
        """Take an event; may be called from many threads."""
        match event:
            case StageStarted():
                state = f"{event.stage.value} {event.task or ''}".strip()
            case JobRetried():
                state = _WAITING
            case JobFinished():
                state = ""
            case _:
                return
        with self._lock:
            if state:
                self._states[event.name] = state
            else:
                self._states.pop(event.name, None)
        self._news.set()

    def write(self, *, is_last: bool = False) -> None:
        """Write the page; a file that cannot be written is a ``problem`` until the next write."""
        # A record that cannot be read is reported by the command that needs it.
        index = compile_index(self.run_id, self.store, lambda _: None)
        attempts = compile_attempts(self.run_id, self.store, lambda _: None)
        with self._lock:
            unfinished = dict(self._states)
        live = LiveState(
            at=time.strftime("%H:%M:%S"),
            unfinished=unfinished,
            refresh_s=REFRESH_S,
            ended=len(index["jobs"]) - len(unfinished),
        )
        text = render_report(attempts, index, None if is_last else live)
        try:
            write_atomically(self.path, text)
        except OSError as problem:
            self.problem = problem
        else:
            self.problem = None

    def work(self) -> None:
        """Write the page whenever there is news, but not too often, until :meth:`end`."""
        while not self._over.is_set():
            self._news.clear()
            began = time.monotonic()
            try:
                self.write()
            except Exception:  # noqa: BLE001 - the last write raises it in the command's thread
                return
            took = time.monotonic() - began
            self._over.wait(max(self.interval, took / _SHARE) - took)
            self._news.wait()

    def end(self) -> None:
        """Let the thread end."""
        self._over.set()
        self._news.set()


@contextlib.contextmanager
def live_report(report: LiveReport) -> Iterator[LiveReport]:
    """Keep a report up to date during the block, and write its last version afterwards."""
    thread = threading.Thread(target=report.work, name="mlcr-report", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        report.end()
        thread.join()
        report.write(is_last=True)
