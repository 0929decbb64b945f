# SPDX-License-Identifier: Apache-2.0
"""Sessions on a Paramiko transport."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs
import paramiko

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Stream
from mlcube_remote.transport.connect_errors import translate_ssh_errors
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.guarded_transport import PACKET, WINDOW, GuardedTransport, printable
from mlcube_remote.transport.keepalive import Keepalive
from mlcube_remote.transport.link import SessionRefusedError, connection_lost
from mlcube_remote.transport.ordered_sender import keep_order
from mlcube_remote.transport.ssh_transport import (
    AuthenticatedTransport,
    ConnectRequest,
    open_transport,
)

if TYPE_CHECKING:
    from mlcube_remote.transport.standard_streams import StandardStreams

_CHUNK = 256 * 1024


@attrs.define
class ParamikoSession:
    """See :class:`mlcube_remote.transport.link.Session`."""

    channel: paramiko.Channel
    is_over: bool = attrs.field(default=False, init=False)
    """Whether :meth:`receive` will return no more bytes."""
    _arrival: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when bytes arrive. Paramiko's own file descriptor for this can miss an arrival: one
    stream is emptied at the moment when the other one is filled."""

    def __attrs_post_init__(self) -> None:
        self.channel.in_buffer.set_event(self._arrival)
        self.channel.in_stderr_buffer.set_event(self._arrival)

    @property
    def is_closed(self) -> bool:
        """Whether one of the sides has closed the channel."""
        return self.channel.closed

    @property
    def is_attached(self) -> bool:
        """Always false: Paramiko has no access to the terminal."""
        return False

    @property
    def is_connected(self) -> bool:
        """Whether the transport is active."""
        return self.channel.transport is not None and self.channel.transport.is_active()

    def receive(self, timeout: float) -> list[tuple[Stream, bytes]]:
        """See :meth:`Session.receive <mlcube_remote.transport.link.Session.receive>`."""
        # Both before reading, so that nothing that arrives in the meantime is missed.
        self._arrival.clear()
        has_ended = self.channel.eof_received or self.channel.closed
        arrived = self._read()
        if arrived:
            return arrived
        if has_ended:
            self.is_over = True
            return []
        self._arrival.wait(max(timeout, 0))
        return self._read()

    def _read(self) -> list[tuple[Stream, bytes]]:
        """Return one chunk of each stream that has some."""
        arrived = []
        if self.channel.recv_ready():
            arrived.append((Stream.STDOUT, self.channel.recv(_CHUNK)))
        if self.channel.recv_stderr_ready():
            arrived.append((Stream.STDERR, self.channel.recv_stderr(_CHUNK)))
        return arrived

    def send(self, data: bytes, timeout: float | None) -> None:
        """See :meth:`Session.send <mlcube_remote.transport.link.Session.send>`."""
        self.channel.settimeout(timeout)
        self.channel.sendall(data)

    def end_input(self) -> None:
        """Close the command's standard input."""
        if not self.channel.closed:
            self.channel.shutdown_write()

    def wait_for_status(self, timeout: float) -> int | None:
        """Return the exit status; ``None`` if there is none."""
        self.channel.status_event.wait(timeout)
        code = int(self.channel.exit_status)
        return code if code >= 0 else None

    def resize(self, columns: int, lines: int) -> None:
        """See :meth:`Session.resize <mlcube_remote.transport.link.Session.resize>`."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # it has just ended
            self.channel.resize_pty(columns, lines)

    def close(self) -> None:
        """Close the channel."""
        # A broken connection cannot transmit the message that closes it.
        with contextlib.suppress(EOFError):
            self.channel.close()


@attrs.define
class ParamikoLink:
    """See :class:`mlcube_remote.transport.link.Link`."""

    host: str
    _opened: AuthenticatedTransport
    _keepalive: Keepalive

    @classmethod
    def start(cls, host: str, opened: AuthenticatedTransport, interval_s: float) -> ParamikoLink:
        """Return the link of a transport, with keepalives."""
        keepalive = Keepalive(opened.transport, opened.sock, interval_s)
        keepalive.start()
        return cls(host, opened, keepalive)

    @property
    def transport(self) -> paramiko.Transport:
        """Paramiko's own object, for Fabric."""
        return self._opened.transport

    def open_session(
        self, command: str, timeout: float, terminal: StandardStreams | None = None
    ) -> ParamikoSession:
        """See :meth:`Link.open_session <mlcube_remote.transport.link.Link.open_session>`."""
        return open_session(self.host, self._opened.transport, command, timeout, terminal)

    def is_active(self) -> bool:
        """Return whether the transport is active."""
        return bool(self._opened.transport.is_active())

    def close(self) -> None:
        """Close the transport."""
        self._keepalive.stop()
        self._opened.close()


def open_session(
    host: str,
    transport: paramiko.Transport,
    command: str,
    timeout: float,
    terminal: StandardStreams | None = None,
) -> ParamikoSession:
    """Start a command on a transport; see :class:`mlcube_remote.transport.link.Link`."""
    deadline = time.monotonic() + timeout
    with translate_ssh_errors(partial(_explain_refusal, host, transport, deadline)):
        channel = _open_channel(transport, timeout)
    keep_order(channel)
    session = ParamikoSession(channel)
    # Paramiko waits for the answer without a timeout; closing the channel ends the wait.
    alarm = threading.Timer(timeout, session.close)
    alarm.daemon = True
    alarm.start()
    try:
        with translate_ssh_errors(partial(_explain_start, host, transport, session, deadline)):
            if terminal is not None:
                channel.get_pty(terminal.kind, *terminal.size)
            channel.exec_command(command)
    finally:
        alarm.cancel()
    return session


def _open_channel(transport: paramiko.Transport, timeout: float) -> paramiko.Channel:
    if isinstance(transport, GuardedTransport) and (opened := transport.take_session(timeout)):
        return opened
    return transport.open_session(window_size=WINDOW, max_packet_size=PACKET, timeout=timeout)


def _explain_refusal(
    host: str, transport: paramiko.Transport, deadline: float, problem: Exception
) -> Exception:
    if isinstance(problem, paramiko.ChannelException):
        return SessionRefusedError(printable(problem.text))
    if not transport.is_active() or time.monotonic() > deadline:
        return connection_lost(host)
    # If several sessions are refused at the same time, Paramiko gives the reason for only one.
    return SessionRefusedError(printable(str(problem)))


def _explain_start(
    host: str,
    transport: paramiko.Transport,
    session: ParamikoSession,
    deadline: float,
    problem: Exception,
) -> HostError:
    session.close()
    if not transport.is_active():
        return connection_lost(host)
    reason = "no answer" if time.monotonic() > deadline else printable(str(problem))
    return HostUnfitError(
        host,
        f"refused to run a command: {reason}",
        hint="the account must be allowed to run commands (see ForceCommand, nologin)",
    )


def open_paramiko_link(
    host: Host,
    endpoint: Endpoint,
    credentials: Credentials,
    note: Callable[[str], None],
    *,
    opens_session: bool = False,
) -> ParamikoLink:
    """Connect and log in with Paramiko.

    Args:
        host: The host.
        endpoint: Its address and login settings.
        credentials: Secrets that the user typed.
        note: Called with lines for the user.
        opens_session: Whether to open a session with the login, for the first
            :meth:`ParamikoLink.open_session`.

    Raises:
        ConnectError: The connection or the login failed.
    """
    request = ConnectRequest(
        host=host.name, credentials=credentials, note=note, opens_session=opens_session
    )
    return ParamikoLink.start(host.name, open_transport(endpoint, request), host.keepalive)
