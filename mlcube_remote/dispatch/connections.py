# SPDX-License-Identifier: Apache-2.0
"""Connections that jobs of one run hand on to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection

Connect = Callable[[Host, Callable[[str], None]], Connection]
"""Opens a connection to a host; the callable takes notes for the user."""

_CHECK_TIMEOUT_S = 10.0
"""Timeout for an answer on a connection that was idle."""


@attrs.define(kw_only=True)
class ConnectionPool:
    """Opens connections, and keeps those that a job has finished with for the host's next job."""

    connect: Connect
    keep: Callable[[], bool]
    """Whether connections are kept now."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _idle: dict[str, list[Connection]] = attrs.field(factory=dict, init=False)
    """Host → its connections that no job uses."""
    _is_closed: bool = attrs.field(default=False, init=False)

    def take(self, host: Host, note: Callable[[str], None]) -> Connection:
        """Return a connection for one job: an idle one that answers, or a new one.

        Raises:
            ConnectError: The host cannot be connected to.
        """
        while (idle := self._take_idle(host.name)) is not None:
            # A host that has died is found by connecting to it, which does not take as long.
            with suppress(HostError):
                if idle.call("mlcr_print_boot_id", timeout=_CHECK_TIMEOUT_S).ok:
                    return idle
            idle.close()
        return self.connect(host, note)

    def _take_idle(self, host: str) -> Connection | None:
        with self._guard:
            idle = self._idle.get(host)
            return idle.pop() if idle else None

    def give_back(self, connection: Connection) -> None:
        """Keep a working connection for the host's next job, or close it."""
        with self._guard:
            is_kept = self.keep() and not self._is_closed
            if is_kept:
                self._idle.setdefault(connection.name, []).append(connection)
        if not is_kept:
            connection.close()

    def close(self) -> None:
        """Close all idle connections, and from now on each that is given back."""
        with self._guard:
            self._is_closed = True
            idle = [connection for each in self._idle.values() for connection in each]
            self._idle.clear()
        for connection in idle:
            connection.close()
