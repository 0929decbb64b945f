# SPDX-License-Identifier: Apache-2.0
"""The sessions of one connection, also where the server allows few of them, or one.

sshd bounds the sessions of a connection (MaxSessions, 10 by default, 1 on some machines). What is
idle then makes room for what is needed, and what is needed waits for what is busy.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import attrs
import paramiko

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.ssh_transport import PACKET, WINDOW

_OPEN_TIMEOUT = 60.0
_LOOK_AGAIN = 0.1
_PATIENCE = 15.0
"""Seconds to wait for a session though nothing of ours holds one: one of ours may still end."""


_SHORT_PATIENCE = 2.0
"""The same for an exchange that can be had on another connection."""


class OccupiedError(Exception):
    """No session is free, nor will one be soon: something that does not end holds it."""


class _RefusedError(Exception):
    """The server allows no further session now."""


@attrs.define
class Sessions:
    """Opens shells on one transport."""

    host: str
    transport: paramiko.Transport
    _release_idle: Callable[[], bool]
    """Ends the control shell if it is idle; false when it is at work."""
    _ahead: queue.SimpleQueue[Future[ShellChannel]] = attrs.field(
        factory=queue.SimpleQueue, init=False
    )
    _is_scarce: bool = attrs.field(default=False, init=False)
    """Whether the server has refused a session: nothing is opened ahead any more."""
    _busy: list[ShellChannel] = attrs.field(factory=list, init=False)
    """Shells that were taken and may not have ended."""
    _lasting: int = attrs.field(default=0, init=False)
    """How many of them end nobody knows when."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def open(self, text: bytes = b"", *, is_brief: bool = False) -> ShellChannel:
        """Open a shell and send ``text`` to it, making room where there is none.

        Args:
            text: The first shell text.
            is_brief: Do not wait behind what may not end.

        Raises:
            OccupiedError: ``is_brief``, and a stream holds the only session, or something that
                was given up and still runs there.
            HostUnfitError: The server allows no session, though nothing of ours holds one.
            StateUnknownError: The connection is gone.
        """
        alone_since: float | None = None
        while True:
            try:
                return self._open(text)
            except _RefusedError as problem:
                self._is_scarce = True
                self._drop_ahead()
                is_at_work = not self._release_idle()
                now = time.monotonic()
                if is_at_work or self._is_busy() or alone_since is None:
                    alone_since = now
                if is_brief and (self._lasting or now - alone_since > _SHORT_PATIENCE):
                    raise OccupiedError(str(problem)) from problem
                if now - alone_since > _PATIENCE:
                    raise self.refused(problem) from problem
                time.sleep(_LOOK_AGAIN)

    def refused(self, problem: Exception) -> HostUnfitError:
        """Return the error for a server that allows no further session."""
        return HostUnfitError(
            self.host,
            f"allows no further session on this connection ({problem})",
            hint="raise MaxSessions in its sshd_config (the default is 10)",
        )

    def take(self) -> ShellChannel:
        """Return a shell that was opened ahead, or a new one; see :meth:`open`."""
        shell = self._take_ahead() or self.open()
        with self._guard:
            self._busy = [each for each in self._busy if not each.channel.closed]
            self._busy.append(shell)
        return shell

    @contextmanager
    def lasting(self) -> Iterator[ShellChannel]:
        """Take a shell for something that ends nobody knows when, and close it then."""
        shell = self.take()
        with self._guard:
            self._lasting += 1
        try:
            yield shell
        finally:
            shell.close()
            with self._guard:
                self._lasting -= 1

    def open_ahead(self) -> None:
        """Begin to open a shell that the next :meth:`take` will return."""
        if self._is_scarce:
            return
        opening: Future[ShellChannel] = Future()

        def open_it() -> None:
            try:
                opening.set_result(self._open())
            except (HostError, _RefusedError) as problem:
                # Whoever needs a session tries again, and is told then.
                opening.set_exception(problem)

        self._ahead.put(opening)
        threading.Thread(target=open_it, name="mlcr-ahead", daemon=True).start()

    def _take_ahead(self) -> ShellChannel | None:
        try:
            shell = self._ahead.get_nowait().result(_OPEN_TIMEOUT)
        except (queue.Empty, HostError, _RefusedError):
            return None
        return None if shell.channel.closed else shell

    def _drop_ahead(self) -> None:
        while not self._ahead.empty():
            if (shell := self._take_ahead()) is not None:
                shell.await_end(5)

    def _is_busy(self) -> bool:
        with self._guard:
            return any(not shell.channel.closed for shell in self._busy)

    def _open(self, text: bytes = b"") -> ShellChannel:
        began = time.monotonic()
        try:
            channel = self.transport.open_session(
                window_size=WINDOW, max_packet_size=PACKET, timeout=_OPEN_TIMEOUT
            )
        except paramiko.ChannelException as problem:
            raise _RefusedError(problem.text) from problem
        except (paramiko.SSHException, EOFError, OSError) as problem:
            if not self.transport.is_active() or time.monotonic() > began + _OPEN_TIMEOUT:
                raise ShellChannel.connection_lost(self.host) from problem
            # Of several that are refused in one moment, Paramiko tells only one why.
            raise _RefusedError(str(problem)) from problem
        shell = ShellChannel(self.host, channel)
        try:
            shell.begin(text)
        except (paramiko.SSHException, EOFError, OSError) as problem:
            shell.close()
            if not self.transport.is_active():
                raise ShellChannel.connection_lost(self.host) from problem
            raise HostUnfitError(
                self.host,
                f"refused to run a command: {problem}",
                hint="the account must be allowed to run commands (see ForceCommand, nologin)",
            ) from problem
        return shell
