# SPDX-License-Identifier: Apache-2.0
"""What the jobs of one run share: how to connect, where events go, and being ended together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import attrs

from mlcube_remote.dispatch.events import EventSink, Level, Stage
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.line import RECONNECT_TIMEOUT, Line
from mlcube_remote.errors import CancelledError, HostError, StoppedByUserError
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Connection

_PULSE = 10.0
"""Seconds for an answer on a connection that nobody has used for a while."""


@attrs.frozen
class _Ends:
    """Two ways to end the work on one job."""

    stop: Callable[[], None]
    leave: Callable[[], None]


@attrs.define
class Mirror:
    """A cube in one ``remote_root``, which several jobs of the run share."""

    ready_on: set[str] = attrs.field(factory=set)
    """Hosts on which it is up to date and has its image; several may share the root."""
    guard: threading.Lock = attrs.field(factory=threading.Lock)


@attrs.define(kw_only=True)
class Run:
    """What the jobs of one run share."""

    connect: Callable[[Host, Callable[[str], None]], Connection]
    """Opens a connection; the callable takes notes for the user."""
    sink: EventSink
    store: Store | None = None
    """Where this machine remembers its runs; ``None``: nowhere."""
    detach: bool = False
    """Whether to leave each job as soon as it has been started."""
    wait: bool = False
    """Whether to wait for a workspace that another run holds."""
    keeps: bool = False
    """Whether hosts have several jobs: what one has left its connection to, the next one takes."""
    reconnect_timeout: float = RECONNECT_TIMEOUT
    """Seconds after which a host that cannot be reached again is given up."""
    began: float = attrs.field(factory=time.monotonic)
    stopping: threading.Event = attrs.field(factory=threading.Event)
    """Set when the user wants the run to stop."""
    leaving: threading.Event = attrs.field(factory=threading.Event)
    """Set when the user does not want to follow the run any more."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _roots: dict[str, tuple[str, threading.Lock]] = attrs.field(factory=dict, init=False)
    _given_up: str | None = attrs.field(default=None, init=False)
    _mirrors: dict[str, Mirror] = attrs.field(factory=dict, init=False)
    _ends: dict[str, _Ends] = attrs.field(factory=dict, init=False)
    _idle: dict[str, list[Connection]] = attrs.field(factory=dict, init=False)

    @contextmanager
    def line(self, host: Host, journal: Journal) -> Iterator[Line]:
        """Connect to a host for one job, whose journal tells of it.

        Raises:
            ConnectError: No session could be had.
        """

        def note(text: str) -> None:
            journal.note(Level.INFO, text)

        with journal.stage(Stage.CONNECT):
            connection = self.connection(host, note)
        line = Line(
            connection=connection,
            dial=partial(self.connect, host, note),
            journal=journal,
            timeout=self.reconnect_timeout,
        )
        with line.until_done(self.keep):
            yield line

    def connection(self, host: Host, note: Callable[[str], None]) -> Connection:
        """Return a connection to a host for one job: one that another has left, or a new one.

        Raises:
            ConnectError: No session could be had.
        """
        while (left := self._take_idle(host.name)) is not None:
            # A host that has died meanwhile is found out by dialling, which takes no patience.
            with suppress(HostError):
                if left.call("mlcr_boot", timeout=_PULSE).ok:
                    return left
            left.close()
        return self.connect(host, note)

    def _take_idle(self, host: str) -> Connection | None:
        with self._guard:
            idle = self._idle.get(host)
            return idle.pop() if idle else None

    def keep(self, connection: Connection) -> None:
        """Leave a connection, which has served its job well, to the next one."""
        with self._guard:
            is_kept = self.keeps and not (self.stopping.is_set() or self.leaving.is_set())
            if is_kept:
                self._idle.setdefault(connection.name, []).append(connection)
        if not is_kept:
            connection.close()

    def hang_up(self) -> None:
        """Close what was left: no job comes any more."""
        with self._guard:
            self.keeps = False
            left = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in left:
            connection.close()

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
    def mirror(self, root_id: str) -> Iterator[Mirror]:
        """Hold what the jobs on a host share, for as long as it takes to make it ready."""
        with self._guard:
            mirror = self._mirrors.setdefault(root_id, Mirror())
        with mirror.guard:
            yield mirror

    @contextmanager
    def reachable(
        self, job: str, *, stop: Callable[[], None], leave: Callable[[], None]
    ) -> Iterator[None]:
        """Let :meth:`stop` and :meth:`leave` reach a job for as long as the block lasts.

        Args:
            job: The job's name, or its host's where that has one.
            stop: Ends the work, on the host too.
            leave: Ends the work here; what runs there goes on.
        """
        with self._guard:
            self._ends[job] = _Ends(stop, leave)
        try:
            if self.stopping.is_set():
                stop()
            if self.leaving.is_set():
                leave()
            yield
        finally:
            with self._guard:
                self._ends.pop(job, None)

    def stop(self) -> None:
        """Ask every job to stop: running tasks are ended, nothing new is begun."""
        self.stopping.set()
        self._tell(lambda ends: ends.stop)

    def give_up(self, why: str) -> None:
        """Ask every job to stop, because others have failed.

        Args:
            why: What is said of the jobs that did not come to their end.
        """
        self._given_up = why
        self.stop()

    def cancelled(self) -> StoppedByUserError:
        """Return why a job that was asked to stop did not come to its end."""
        return StoppedByUserError() if self._given_up is None else CancelledError(self._given_up)

    def leave(self) -> None:
        """Stop following: running tasks go on, nothing new is begun."""
        self.leaving.set()
        self._tell(lambda ends: ends.leave)

    def _tell(self, which: Callable[[_Ends], Callable[[], None]]) -> None:
        with self._guard:
            every = [which(ends) for ends in self._ends.values()]
        for end in every:
            threading.Thread(target=end, daemon=True).start()

    def check(self) -> None:
        """Raise when nothing new is to be begun.

        Raises:
            StoppedByUserError: The user ended the run.
        """
        if self.stopping.is_set() or self.leaving.is_set():
            raise self.cancelled()
