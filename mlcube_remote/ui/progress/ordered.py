# SPDX-License-Identifier: Apache-2.0
"""``logs`` of several jobs: print what they report job after job."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO

import attrs

from mlcube_remote.events.model import Event, JobFinished, Output
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress.base import Reporter
from mlcube_remote.ui.progress.grouped import MAX_IN_MEMORY


@attrs.define
class _Waiting:
    """The events of a job whose turn has not come. Output is kept in a file."""

    events: list[tuple[Event, int]] = attrs.field(factory=list)
    """Each event, and the number of its bytes in the file."""
    file: IO[bytes] = attrs.field(
        factory=lambda: tempfile.SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115 - closed later
    )

    def add(self, event: Event) -> None:
        if isinstance(event, Output):
            self.file.write(event.data)
            self.events.append((attrs.evolve(event, data=b""), len(event.data)))
        else:
            self.events.append((event, 0))

    def release(self) -> Iterator[Event]:
        self.file.seek(0)
        for event, size in self.events:
            if isinstance(event, Output):
                yield attrs.evolve(event, data=self.file.read(size))
            else:
                yield event
        self.file.close()


@attrs.define
class OrderedReporter:
    """Shows the events of the first unfinished job, and holds back those of later jobs."""

    inner: Reporter
    jobs: Sequence[str]
    """Names of the run's jobs, in order."""
    _ranks: dict[str, int] = attrs.field(init=False)
    """Job → its index."""
    _turn: int = attrs.field(default=0, init=False)
    """Index of the job that is shown."""
    _waiting: dict[str, _Waiting] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._ranks = {job: rank for rank, job in enumerate(self.jobs)}

    def handle(self, event: Event) -> None:
        """Show an event when its job has its turn; may be called from many threads."""
        with self._lock:
            if self._ranks.get(event.name, 0) <= self._turn:
                self._show(event)
                return
            try:
                if event.name not in self._waiting:
                    self._waiting[event.name] = _Waiting()
                self._waiting[event.name].add(event)
            except OSError:
                # The disk is full: all is shown, in another order.
                self._release_all()
                self.inner.handle(event)

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Print lines that belong together, below a title."""
        self.inner.print_block(title, stream, lines)

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing until the block ends."""
        return self.inner.paused()

    def close(self) -> None:
        """Show what is still held back, and restore the terminal."""
        with self._lock:
            self._release_all()
        self.inner.close()

    def _show(self, event: Event) -> None:
        self.inner.handle(event)
        is_over = isinstance(event, JobFinished) and event.name == self._name
        while is_over:
            self._turn += 1
            held = self._waiting.pop(self._name, None)
            is_over = False
            for each in held.release() if held is not None else ():
                self.inner.handle(each)
                is_over = is_over or isinstance(each, JobFinished)

    @property
    def _name(self) -> str:
        return self.jobs[self._turn] if self._turn < len(self.jobs) else ""

    def _release_all(self) -> None:
        for job in self.jobs[self._turn + 1 :]:
            if (held := self._waiting.pop(job, None)) is not None:
                for each in held.release():
                    self.inner.handle(each)
        self._turn = len(self.jobs)
