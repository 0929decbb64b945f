# SPDX-License-Identifier: Apache-2.0
"""Beginning to connect before anybody needs the connection.

Waiting for a server costs no time of ours: what a run still has to import and to set up is done
meanwhile. Only a plan that has been checked may begin to dial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import attrs

from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection

Connect = Callable[[Host, Callable[[str], None]], Connection]
"""Opens a connection; the callable takes notes for the user."""


@attrs.define
class _PendingConnection:
    """One connection on its way, and what was to be noted until somebody listens."""

    future: Future[Connection]
    notes: list[str]


@attrs.define
class EarlyConnector:
    """Connects to hosts ahead of time; each connection is handed out once."""

    connect: Connect
    _under_way: dict[str, _PendingConnection] = attrs.field(factory=dict, init=False)

    def begin(self, hosts: Iterable[Host], *, at_once: int) -> None:
        """Begin to dial the first ``at_once`` hosts; the others are dialled when asked for."""
        first = list(hosts)[:at_once]
        pool = ThreadPoolExecutor(max(1, len(first)), thread_name_prefix="mlcr-dial")
        for host in first:
            notes: list[str] = []
            future = pool.submit(self.connect, host, notes.append)
            self._under_way[host.name] = _PendingConnection(future, notes)
        pool.shutdown(wait=False)

    def __call__(self, host: Host, note: Callable[[str], None]) -> Connection:
        """Return the connection to a host, waiting for it or making it.

        Raises:
            ConnectError: No session could be had.
        """
        dialling = self._under_way.pop(host.name, None)
        if dialling is None:
            return self.connect(host, note)
        try:
            return dialling.future.result()
        finally:
            for text in dialling.notes:
                note(text)

    def close_idle(self) -> None:
        """Close what nobody asked for, as soon as it is there."""
        for dialling in self._under_way.values():
            if not dialling.future.cancel():
                dialling.future.add_done_callback(_close)
        self._under_way.clear()


def _close(future: Future[Connection]) -> None:
    if future.exception() is None:
        future.result().close()
