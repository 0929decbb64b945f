# SPDX-License-Identifier: Apache-2.0
"""What the jobs of one run share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.dispatch.connections import Connect, ConnectionPool
from mlcube_remote.dispatch.interrupts import Interrupts
from mlcube_remote.dispatch.shared_images import SharedImages
from mlcube_remote.dispatch.shared_roots import SharedRoots
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import EventSink
from mlcube_remote.files.sent_names import SentNames
from mlcube_remote.files.sources import Sources
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.reconnecting import RECONNECT_TIMEOUT

if TYPE_CHECKING:
    from mlcube_remote.runs.expected_sources import ExpectedSources

FAST_VARIABLE = "MLCUBE_REMOTE_FAST"
"""Environment variable for tests: with ``0``, no round trip is saved."""


@attrs.frozen(kw_only=True)
class RunContext:
    """The options of a run, and the objects that its jobs share."""

    connect: Connect
    sink: EventSink
    store: Store | None = None
    """This machine's records; ``None``: nothing is recorded."""
    sources: Callable[[], Sources] | None = None
    """Returns what the run is made from, and may wait for it; ``None``: not known."""
    expected: ExpectedSources | None = None
    """What the jobs must be made from; ``None``: anything."""
    shown: frozenset[str] = frozenset()
    """Warnings that were shown before any host was asked."""
    detach: bool = False
    """Whether to detach from each job as soon as it is launched."""
    wait: bool = False
    """Whether to wait for a workspace that another run holds."""
    keeps: bool = False
    """Whether to keep connections, because hosts have several jobs."""
    is_fast: bool = attrs.field(factory=lambda: os.environ.get(FAST_VARIABLE) != "0")
    """Whether round trips are saved; otherwise each step waits for the one before."""
    reconnect_timeout: float = RECONNECT_TIMEOUT
    """Seconds after which reconnecting to a host is abandoned."""
    began: float = attrs.field(factory=time.monotonic)
    interrupts: Interrupts = attrs.field(factory=Interrupts, init=False)
    roots: SharedRoots = attrs.field(factory=SharedRoots, init=False)
    images: SharedImages = attrs.field(factory=SharedImages, init=False)
    names: SentNames = attrs.field(factory=SentNames, init=False)
    connections: ConnectionPool = attrs.field(init=False)
    _warned: set[str] = attrs.field(factory=set, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @connections.default
    def _make_pool(self) -> ConnectionPool:
        return ConnectionPool(
            connect=self.connect, keep=lambda: self.keeps and not self.interrupts.is_ending
        )

    def is_first_warning(self, text: str) -> bool:
        """Return whether no job of the run has asked this for the text before."""
        with self._lock:
            is_first = text not in self._warned
            self._warned.add(text)
        return is_first

    def job_events(self, host: str, job: str = "") -> JobEvents:
        """Return an emitter for the events of one job."""
        return JobEvents(host=host, job=job, began=self.began, sink=self.sink)
