# SPDX-License-Identifier: Apache-2.0
"""A connection that is replaced if it breaks.

Every step of a job on its host can be repeated (upload, configure, pull, following from a byte
offset) or is claimed on the host (the launch). So a broken connection is a delay, not an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import attrs

from mlcube_remote.errors import (
    AbortedTransferError,
    AuthenticationError,
    ConnectError,
    HostError,
    StalledError,
    StateUnknownError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.transport.backoff import Backoff, with_jitter
from mlcube_remote.transport.base import Connection

T = TypeVar("T")

RECONNECT_TIMEOUT = 600.0
"""Seconds after which reconnecting to a host is abandoned."""

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0
_UNSTABLE_S = 60.0
"""A connection that breaks sooner than this after the last break is unstable."""
_MAX_CUTS = 50
"""Number of breaks in a row during one piece of work that makes no progress."""
_MIN_PROGRESS = 64 * 1024
"""Bytes that count as progress."""
_ANSWER_TIMEOUT_S = 20.0
"""Time for an answer that distinguishes a broken connection from another error."""


def _ignore(*_: object) -> None:
    """Do nothing."""


@attrs.define
class _Cuts:
    """Counts the breaks during one piece of work: a host may accept logins, and cut them."""

    transferred: Callable[[], int] | None
    is_open_ended: bool
    _count: int = attrs.field(default=0, init=False)
    _had: int = attrs.field(default=0, init=False)

    def may_repeat(self, lasted: float) -> bool:
        """Return whether to try again after a break; ``lasted``: seconds of the last try."""
        self._count = 1 if self._has_progress(lasted) else self._count + 1
        return self._count < _MAX_CUTS

    def _has_progress(self, lasted: float) -> bool:
        if self.is_open_ended and lasted >= _UNSTABLE_S:
            return True
        if self.transferred is None:
            return False
        had, self._had = self._had, self.transferred()
        return self._had >= had + _MIN_PROGRESS


@attrs.define(kw_only=True)
class ReconnectingConnection:
    """The connection to one host, and its replacement if it breaks.

    Several threads may use it: one of them reconnects, and the others take the new connection.
    """

    current: Connection
    dial: Callable[[], Connection]
    """Opens another connection to the host."""
    lost: Callable[[str, float], None] = _ignore
    """Called before each attempt, with the reason and the seconds until then."""
    restored: Callable[[float], None] = _ignore
    """Called with the seconds without a connection."""
    timeout: float = RECONNECT_TIMEOUT
    """Seconds."""
    attach_hint: str | None = None
    """What the user can do if the host cannot be reached again."""
    on_reconnect: Callable[[Connection], None] = _ignore
    """Called with each new connection before work continues on it."""
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    """Protects ``current`` and ``_closed``."""
    _reconnecting: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _broke_at: float = attrs.field(default=-_UNSTABLE_S, init=False)
    """Time of the last break, on the monotonic clock."""
    _breaks_in_a_row: int = attrs.field(default=0, init=False)

    @property
    def name(self) -> str:
        """The host's inventory name."""
        return self.current.name

    def retrying(
        self,
        work: Callable[[Connection], T],
        *,
        transferred: Callable[[], int] | None = None,
        is_open_ended: bool = False,
    ) -> T:
        """Do work that is safe to repeat; repeat it if the connection breaks.

        Args:
            work: Called with the connection.
            transferred: Returns how many bytes were moved in all tries together. More are progress.
            is_open_ended: Whether the work waits for something that may take days, such as the end
                of a task: then a try that lasted a minute made progress.

        Raises:
            StateUnknownError: The connection broke and could not be replaced in time.
            StalledError: It broke again and again, and the work made no progress.
            MLCubeRemoteError: As ``work`` raises for any other reason.
        """
        cuts = _Cuts(transferred, is_open_ended)
        while True:
            used, started = self.current, time.monotonic()
            try:
                return work(used)
            except AbortedTransferError:
                raise
            except (StateUnknownError, TransferError) as problem:
                # If another thread has replaced the connection, the error is about the old one.
                is_current = used is self.current
                if self._closed.is_set() or (is_current and _answers(used)):
                    raise
                if not cuts.may_repeat(time.monotonic() - started):
                    raise _stalled(self.name, problem, self.attach_hint) from problem
                self._reconnect(used, problem)

    def _reconnect(self, broken: Connection, problem: HostError) -> None:
        """Replace a broken connection, unless another thread has done so.

        Raises:
            StateUnknownError: It could not be replaced in time.
        """
        # From now on, so that a thread that waits for another one does not wait twice as long.
        deadline = time.monotonic() + self.timeout
        with self._reconnecting:
            if broken is not self.current:
                return
            started = time.monotonic()
            broken.close()
            backoff = self._backoff(deadline, problem.reason)
            while (failure := self._replace(problem)) is not None:
                if not backoff.wait(self._closed, partial(self.lost, failure.reason)):
                    raise _without_host(self, failure) from problem
            self.restored(time.monotonic() - started)

    def _backoff(self, deadline: float, reason: str) -> Backoff:
        """Return the delays of a series; an unstable connection gets longer ones, and one now."""
        now = time.monotonic()
        is_unstable = now < self._broke_at + _UNSTABLE_S
        self._breaks_in_a_row = self._breaks_in_a_row + 1 if is_unstable else 0
        self._broke_at = now
        delay = min(_FIRST_DELAY_S * 2**self._breaks_in_a_row, _LONGEST_DELAY_S)
        self.lost(reason, first := with_jitter(delay) if is_unstable else 0.0)
        self._closed.wait(first)
        return Backoff(delay, _LONGEST_DELAY_S, deadline - time.monotonic())

    def _replace(self, problem: HostError) -> HostError | None:
        """Open a new connection and prepare it; return why that failed, if a retry may help.

        Raises:
            StateUnknownError: A retry would not help, or nothing uses the connection any more.
        """
        if self._closed.is_set():
            raise _without_host(self, problem) from problem
        try:
            fresh = self.dial()
        except UnreachableError as failure:
            return failure
        except ConnectError as failure:
            raise _without_host(self, failure) from problem
        with self._guard:
            self.current = fresh
            is_closed = self._closed.is_set()
        if is_closed:
            fresh.close()
            raise _without_host(self, problem) from problem
        try:
            # A login that succeeds does not prove that the host runs commands.
            fresh.call("mlcr_print_boot_id")
            self.on_reconnect(fresh)
        except StateUnknownError as failure:
            if _answers(fresh):
                # An error of the preparation, which a new connection does not help against.
                raise
            fresh.close()
            return failure
        return None

    @contextmanager
    def until_done(self, give_back: Callable[[Connection], None]) -> Iterator[None]:
        """Stop using the connection after the block; give it back if the block succeeds."""
        try:
            yield
        except BaseException:
            self.close()
            raise
        with self._guard:
            was_closed = self._closed.is_set()
            self._closed.set()
        if not was_closed:
            give_back(self.current)

    def close(self) -> None:
        """Close the connection; work on it then raises :class:`StateUnknownError`."""
        with self._guard:
            self._closed.set()
        self.current.close()


def _without_host(connection: ReconnectingConnection, problem: HostError) -> StateUnknownError:
    # Without a new ticket or code, attaching would fail too.
    first = problem.hint if isinstance(problem, AuthenticationError) else None
    hint = "\nthen: ".join(each for each in (first, connection.attach_hint) if each)
    reason = f"can no longer be reached: {problem.reason}"
    return StateUnknownError(connection.name, reason, hint=hint or None)


def _stalled(host: str, problem: HostError, hint: str | None) -> StalledError:
    reason = f"the connection broke {_MAX_CUTS} times without progress: {problem.reason}"
    return StalledError(host, reason, hint=hint)


def _answers(connection: Connection) -> bool:
    """Return whether the host answers on a connection."""
    try:
        return connection.call("mlcr_print_boot_id", timeout=_ANSWER_TIMEOUT_S).ok
    except (StateUnknownError, ConnectError):
        # A ConnectError if the call needed a second login, because sshd allows few sessions.
        return False
