# SPDX-License-Identifier: Apache-2.0
"""Run jobs on a connection that belongs to the caller, and leave it open.

The caller's object has the attributes of ``fabric.Connection``, which this module does not import.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import paramiko

from mlcube_remote.errors import ConnectError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.keepalive import Keepalive
from mlcube_remote.transport.link import connection_lost
from mlcube_remote.transport.paramiko_link import ParamikoSession, open_session
from mlcube_remote.transport.ssh import SSHConnection
from mlcube_remote.transport.standard_streams import StandardStreams


class CallersConnection(Protocol):
    """What is used of a ``fabric.Connection``."""

    original_host: str
    user: str
    port: int
    transport: Any

    @property
    def is_connected(self) -> bool:
        """Whether it is open."""
        ...

    def open(self) -> object:
        """Open it."""
        ...


@attrs.define
class BorrowedLink:
    """A link on a transport of the caller: closing the link ends its sessions, and nothing else."""

    host: str
    _transport: paramiko.Transport
    _sessions: list[ParamikoSession] = attrs.field(factory=list, init=False)
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def open_session(
        self, command: str, timeout: float, terminal: StandardStreams | None = None
    ) -> ParamikoSession:
        """See :meth:`Link.open_session <mlcube_remote.transport.link.Link.open_session>`."""
        if self._closed.is_set():
            raise connection_lost(self.host)
        session = open_session(self.host, self._transport, command, timeout, terminal)
        with self._lock:
            self._sessions = [each for each in self._sessions if not each.is_closed]
            self._sessions.append(session)
            is_closed = self._closed.is_set()
        if is_closed:
            session.close()
            raise connection_lost(self.host)
        return session

    def is_active(self) -> bool:
        """Return whether the link may be used, and the caller's transport is active."""
        return not self._closed.is_set() and bool(self._transport.is_active())

    def close(self) -> None:
        """End the sessions of this link."""
        with self._lock:
            self._closed.set()
            sessions = list(self._sessions)
        for session in sessions:
            session.close()


@attrs.define
class _Pulse:
    """Lets :class:`Keepalive` close a link, but not the transport, if the host does not answer."""

    link: BorrowedLink
    _transport: paramiko.Transport
    last_received: float = attrs.field(factory=time.monotonic, init=False)
    """When the host last answered: the socket of the transport is not ours to watch."""

    def is_active(self) -> bool:
        """Return whether the link may be used."""
        return self.link.is_active()

    def global_request(self, kind: str, data: None = None, wait: bool = True) -> object:
        """Send a request, and wait for its answer."""
        answer = self._transport.global_request(kind, data, wait)
        self.last_received = time.monotonic()
        return answer

    def close(self) -> None:
        """Close the link."""
        self.link.close()


@attrs.frozen(kw_only=True)
class BorrowedConnections:
    """Makes connections for jobs on a connection of the caller."""

    connection: CallersConnection
    open_second: Callable[[], SSHConnection] | None
    """Logs in once more, if the host allows only one session; ``None``: the login is not ours."""

    def connect(self, host: Host, note: Callable[[str], None]) -> SSHConnection:
        """Return a connection of ours; the caller's is opened first if the login is ours.

        Raises:
            ConnectError: The connection is broken, and cannot be opened again.
        """
        if not self.connection.is_connected:
            if self.open_second is None:
                raise ConnectError(
                    host.name,
                    "the Fabric connection is closed, and only its owner can open it again",
                    hint="open() it, and continue the run with its run_id; or use "
                    "mlcube_remote.fabric.Connection, which connects again",
                )
            self.connection.open()
        transport = self.connection.transport
        link = BorrowedLink(host.name, transport)
        if self.open_second is None:
            # Fabric does not detect that a host is gone; a login of ours has keepalives already.
            pulse = _Pulse(link, transport)
            Keepalive(pulse, pulse, host.keepalive).start()
        return SSHConnection(host, link, self.open_second, note)
