# SPDX-License-Identifier: Apache-2.0
"""Open the sessions of one connection, even if the server allows only few of them, or one.

sshd limits the sessions of a connection (MaxSessions: 10 by default, 1 on some hosts). At the
limit, idle sessions are closed, and a new one waits for the others to end.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.transport import framing
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.link import Link, Session, SessionRefusedError

if TYPE_CHECKING:
    from mlcube_remote.transport.standard_streams import StandardStreams

T = TypeVar("T")

_OPEN_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.1
_SESSION_TIMEOUT_S = 15.0
"""Timeout for a session although this connection has none open: one of them may just be ending."""

_SHORT_TIMEOUT_S = 2.0
"""The same for a call that can use another connection instead."""


class NoSessionAvailableError(Exception):
    """No session is free, and none will be soon: a stream or an abandoned command holds it."""


@attrs.define
class Sessions:
    """Opens shells on one link."""

    host: str
    link: Link
    _release_idle: Callable[[], bool]
    """Ends the control shell if it is idle; returns false if it is busy."""
    _early: queue.SimpleQueue[Future[ShellChannel]] = attrs.field(
        factory=queue.SimpleQueue, init=False
    )
    _is_limited: bool = attrs.field(default=False, init=False)
    """Whether the server has refused a session: from then on none is opened early."""
    _in_use: list[ShellChannel] = attrs.field(factory=list, init=False)
    """Shells that were acquired and may be open."""
    _stream_count: int = attrs.field(default=0, init=False)
    """Number of open shells with unknown lifetime (streams)."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def open(self, text: bytes = b"", *, is_brief: bool = False) -> ShellChannel:
        """Open a shell and send ``text`` to it. At the limit, close idle shells or wait.

        Args:
            text: The first shell text.
            is_brief: Whether to raise an error instead of waiting for a stream.

        Raises:
            NoSessionAvailableError: ``is_brief`` is set, and the only session is in use by a stream
                or by a command that was abandoned and still runs.
            HostUnfitError: The server allows no session, although this connection has none open.
            StateUnknownError: The connection broke.
        """
        return self._open_when_possible(partial(self._open, text), is_brief=is_brief)

    def _open_when_possible(self, open_one: Callable[[], T], *, is_brief: bool = False) -> T:
        alone_since: float | None = None
        while True:
            try:
                return open_one()
            except SessionRefusedError as problem:
                self._is_limited = True
                self._close_early()
                is_control_busy = not self._release_idle()
                now = time.monotonic()
                if is_control_busy or self._has_open() or alone_since is None:
                    alone_since = now
                if is_brief and (self._stream_count or now - alone_since > _SHORT_TIMEOUT_S):
                    raise NoSessionAvailableError(str(problem)) from problem
                if now - alone_since > _SESSION_TIMEOUT_S:
                    raise self.refused(problem) from problem
                time.sleep(_POLL_INTERVAL_S)

    def refused(self, problem: Exception) -> HostUnfitError:
        """Return the error for a server that allows no further session."""
        return HostUnfitError(
            self.host,
            f"allows no further session on this connection ({problem})",
            hint="raise MaxSessions in its sshd_config (the default is 10)",
        )

    def acquire(self) -> ShellChannel:
        """Return a shell that was opened early, or a new one; see :meth:`open`."""
        shell = self._take_early() or self.open()
        with self._lock:
            self._in_use = [each for each in self._in_use if not each.is_closed]
            self._in_use.append(shell)
        return shell

    @contextmanager
    def stream_session(self) -> Iterator[ShellChannel]:
        """Acquire a shell for a stream, whose duration is unknown, and close it afterwards."""
        shell = self.acquire()
        with self._lock:
            self._stream_count += 1
        try:
            yield shell
        finally:
            shell.close()
            with self._lock:
                self._stream_count -= 1

    @contextmanager
    def command_session(self, command: str, terminal: StandardStreams | None) -> Iterator[Session]:
        """Run a command in a session of its own, and close it afterwards.

        Args:
            command: Text for the login shell.
            terminal: The terminal that the command gets; ``None``: none.

        Raises:
            HostUnfitError: As for :meth:`open`.
            StateUnknownError: The connection broke.
        """
        session = self._open_when_possible(
            partial(self.link.open_session, command, _OPEN_TIMEOUT_S, terminal)
        )
        try:
            yield session
        finally:
            session.close()

    def open_early(self) -> None:
        """Open a shell in the background for the next :meth:`acquire`."""
        if self._is_limited:
            return
        future: Future[ShellChannel] = Future()

        def open_shell() -> None:
            try:
                future.set_result(self._open())
            except (HostError, SessionRefusedError) as problem:
                # The next acquire() tries again and reports the error.
                future.set_exception(problem)

        self._early.put(future)
        threading.Thread(target=open_shell, name="mlcr-early", daemon=True).start()

    def _take_early(self) -> ShellChannel | None:
        try:
            future = self._early.get_nowait()
            shell = future.result(_OPEN_TIMEOUT_S)
        except concurrent.futures.TimeoutError:
            future.add_done_callback(_close_late)
            return None
        except (queue.Empty, HostError, SessionRefusedError):
            return None
        return None if shell.is_closed else shell

    def _close_early(self) -> None:
        while not self._early.empty():
            if (shell := self._take_early()) is not None:
                shell.end(_END_TIMEOUT_S)

    def _has_open(self) -> bool:
        with self._lock:
            return any(not shell.is_closed for shell in self._in_use)

    def _open(self, text: bytes = b"") -> ShellChannel:
        session = self.link.open_session(framing.COMMAND, _OPEN_TIMEOUT_S)
        shell = ShellChannel(self.host, session)
        shell.start(text)
        return shell


def _close_late(opened: Future[ShellChannel]) -> None:
    """Close a shell that came when it was no longer expected."""
    if opened.exception() is None:
        opened.result().close()
