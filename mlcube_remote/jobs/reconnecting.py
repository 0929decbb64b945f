# SPDX-License-Identifier: Apache-2.0
"""A connection that is made again when it breaks.

What a job does on a host either has no effect twice (sync, configure, pull, following from a byte
offset) or is claimed there (the launch): so a broken connection is a delay, not an end.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import attrs

from mlcube_remote.errors import ConnectError, StateUnknownError, TransferError, UnreachableError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level
from mlcube_remote.transport.base import Connection

T = TypeVar("T")

RECONNECT_TIMEOUT = 600.0
"""Seconds after which a host that cannot be reached again is given up."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SOON = 60.0
"""Seconds within which a line that breaks again is one that does not hold."""
_PULSE = 20.0
"""Seconds for an answer that tells a broken connection from another fault."""


@attrs.define(kw_only=True)
class Line:
    """The connection to one host, whichever it is at the moment."""

    connection: Connection
    dial: Callable[[], Connection]
    """Makes another connection to the host."""
    events: JobEvents
    timeout: float = RECONNECT_TIMEOUT
    attach_hint: str | None = None
    """What to tell the user to do when the line is given up for lost."""
    on_reconnect: Callable[[Connection], None] = lambda _: None
    """Called with each new connection before work goes on."""
    _gone: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when nobody wants the line any more; it is then not made again."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _broke: float = attrs.field(default=-_SOON, init=False)
    """When it broke last, of the monotonic clock."""
    _in_a_row: int = attrs.field(default=0, init=False)
    """How often it broke soon after it had been made."""

    @property
    def name(self) -> str:
        """The host's inventory name."""
        return self.connection.name

    def steadily(self, work: Callable[[Connection], T]) -> T:
        """Do something that may be done twice, and again when the line breaks under it.

        Raises:
            StateUnknownError: The line broke and could not be made again in time.
            MLCubeRemoteError: As ``work`` does, for any other reason.
        """
        while True:
            try:
                return work(self.connection)
            except (StateUnknownError, TransferError) as problem:
                if self._gone.is_set() or self._answers():
                    raise
                self.again(problem)

    def _answers(self) -> bool:
        try:
            return self.connection.call("mlcr_print_boot_id", timeout=_PULSE).ok
        except StateUnknownError:
            return False

    def again(self, problem: Exception) -> None:
        """Make the line again, however often that fails, until its time is over.

        Raises:
            StateUnknownError: It could not be made: ``problem`` is the cause.
        """
        deadline = time.monotonic() + self.timeout
        self.events.note(Level.WARNING, f"{_reason(problem)}; reconnecting")
        self.connection.close()
        self._in_a_row = self._in_a_row + 1 if time.monotonic() < self._broke + _SOON else 0
        self._broke = time.monotonic()
        pause = min(_FIRST_PAUSE * 2**self._in_a_row, _LONGEST_PAUSE)
        if self._in_a_row and self._gone.wait(_jittered(pause)):
            raise self._lost(problem) from problem
        while True:
            try:
                fresh = self.dial()
            except UnreachableError as missed:
                wait = _jittered(pause)
                if time.monotonic() + wait > deadline:
                    raise self._lost(missed) from problem
                if self._gone.wait(wait):
                    raise self._lost(problem) from problem
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            except ConnectError as refused:
                raise self._lost(refused) from problem
            try:
                self._take(fresh)
                # A login that succeeds is no proof that the host does anything after it.
                fresh.call("mlcr_print_boot_id")
                self.on_reconnect(fresh)
            except StateUnknownError as missed:
                if time.monotonic() > deadline or self._gone.wait(_jittered(pause)):
                    raise self._lost(missed) from problem
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            self.events.note(Level.INFO, "connected again")
            return

    def _take(self, fresh: Connection) -> None:
        with self._guard:
            if self._gone.is_set():
                fresh.close()
                raise self._lost(StateUnknownError(fresh.name, "connection closed"))
            self.connection = fresh

    def _lost(self, problem: Exception) -> StateUnknownError:
        return StateUnknownError(
            self.name, f"not reachable any more: {_reason(problem)}", hint=self.attach_hint
        )

    @contextmanager
    def until_done(self, keep: Callable[[Connection], None]) -> Iterator[None]:
        """End the line with the block; what it was on is kept if all went well."""
        try:
            yield
        except BaseException:
            self.close()
            raise
        with self._guard:
            was_closed = self._gone.is_set()
            self._gone.set()
        if not was_closed:
            keep(self.connection)

    def close(self) -> None:
        """End the line; whoever uses it gets :class:`StateUnknownError`."""
        with self._guard:
            self._gone.set()
        self.connection.close()


def _jittered(pause: float) -> float:
    """Keep a hundred clients of one host, or hosts of one client, apart."""
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "reason", problem))
