# SPDX-License-Identifier: Apache-2.0
"""Connect to hosts before their jobs need the connection.

The client imports and sets up the rest of the run while it waits for the servers. Only a plan that
has been checked may start to connect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import attrs

from mlcube_remote.dispatch.connections import Connect
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection


@attrs.define
class _PendingConnection:
    """A connection that is being opened, and the notes so far."""

    future: Future[Connection]
    notes: list[str]


@attrs.define
class EarlyConnector:
    """Connects to hosts ahead of time. Each connection is used once."""

    connect: Connect
    _pending: dict[str, _PendingConnection] = attrs.field(factory=dict, init=False)

    def begin(self, hosts: Iterable[Host], *, at_once: int) -> None:
        """Start to connect to the first ``at_once`` hosts; others are connected when needed."""
        first = list(hosts)[:at_once]
        pool = ThreadPoolExecutor(max(1, len(first)), thread_name_prefix="mlcr-dial")
        for host in first:
            notes: list[str] = []
            future = pool.submit(self.connect, host, notes.append)
            self._pending[host.name] = _PendingConnection(future, notes)
        pool.shutdown(wait=False)

    def __call__(self, host: Host, note: Callable[[str], None]) -> Connection:
        """Return the connection to a host: the one that is being opened, or a new one.

        Raises:
            ConnectError: The host cannot be connected to.
        """
        pending = self._pending.pop(host.name, None)
        if pending is None:
            return self.connect(host, note)
        try:
            return pending.future.result()
        finally:
            for text in pending.notes:
                note(text)

    def close_idle(self) -> None:
        """Close the connections that no job has taken, as soon as they are open."""
        for pending in self._pending.values():
            if not pending.future.cancel():
                pending.future.add_done_callback(_close)
        self._pending.clear()


def _close(future: Future[Connection]) -> None:
    if future.exception() is None:
        future.result().close()
