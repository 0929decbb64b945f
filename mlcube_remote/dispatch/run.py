# SPDX-License-Identifier: Apache-2.0
"""What the jobs of one run share: how to connect, where events go, and being stopped together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from mlcube_remote.dispatch.events import EventSink, Level
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.errors import StoppedByUserError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection


@attrs.define(kw_only=True)
class Run:
    """What the jobs of one run share."""

    connect: Callable[[Host, Callable[[str], None]], Connection]
    """Opens a connection; the callable takes notes for the user."""
    sink: EventSink
    began: float = attrs.field(factory=time.monotonic)
    stopping: threading.Event = attrs.field(factory=threading.Event)
    """Set when the user wants the run to stop."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _roots: dict[str, tuple[str, threading.Lock]] = attrs.field(factory=dict, init=False)
    _stops: dict[str, Callable[[], None]] = attrs.field(factory=dict, init=False)

    @contextmanager
    def alone_in(self, root_id: str, journal: Journal) -> Iterator[None]:
        """Hold a ``remote_root`` for one job, when two hosts of the run turn out to share it."""
        with self._guard:
            first, lock = self._roots.setdefault(root_id, (journal.host, threading.Lock()))
        if first != journal.host:
            journal.note(
                Level.WARNING,
                f"shares its remote_root with {first} (one machine, or one file system): "
                "their jobs run one after the other",
            )
        with lock:
            yield

    @contextmanager
    def stoppable(self, host: str, stop: Callable[[], None]) -> Iterator[None]:
        """Let :meth:`stop` reach a job for as long as the block lasts."""
        with self._guard:
            self._stops[host] = stop
        try:
            if self.stopping.is_set():
                stop()
            yield
        finally:
            with self._guard:
                self._stops.pop(host, None)

    def stop(self) -> None:
        """Ask every job to stop: running tasks are ended, nothing new is begun."""
        self.stopping.set()
        with self._guard:
            stops = list(self._stops.values())
        for stop in stops:
            threading.Thread(target=stop, daemon=True).start()

    def check(self) -> None:
        """Raise when the run is to stop."""
        if self.stopping.is_set():
            raise StoppedByUserError
