# SPDX-License-Identifier: Apache-2.0
"""Ask hosts for their jobs again and again, over connections that stay open."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.query import HostJobs, query_host
from mlcube_remote.transport.base import Connection

RETRY_INTERVAL_S = 30.0
"""Seconds until a host that gave no answer is asked again."""


@attrs.define(kw_only=True)
class JobWatcher:
    """Asks hosts in parallel; one login for each, however often they are asked."""

    hosts: tuple[Host, ...]
    connect: Callable[[Host], Connection]
    everything: bool
    """Whether to include jobs that have ended."""
    parallel: int = 32
    clock: Callable[[], float] = time.monotonic
    _connections: dict[str, Connection] = attrs.field(factory=dict, init=False)
    _silent: dict[str, tuple[float, HostError]] = attrs.field(factory=dict, init=False)
    """Host → when it is asked again, and why it gave no answer."""

    def query(self) -> tuple[HostJobs, ...]:
        """Return the jobs of each host; see :func:`mlcube_remote.jobs.query.query_all`."""
        with ThreadPoolExecutor(max(1, min(self.parallel, len(self.hosts)))) as pool:
            return tuple(pool.map(self._ask, self.hosts))

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _ask(self, host: Host) -> HostJobs:
        again, known = self._silent.get(host.name, (0.0, None))
        if known is not None and self.clock() < again:
            return HostJobs(host=host, error=known)
        try:
            if host.name not in self._connections:
                self._connections[host.name] = self.connect(host)
            connection = self._connections[host.name]
            jobs = query_host(connection, host, everything=self.everything)
        except HostError as problem:
            self._silent[host.name] = (self.clock() + RETRY_INTERVAL_S, problem)
            if host.name in self._connections:
                self._connections.pop(host.name).close()
            return HostJobs(host=host, error=problem)
        self._silent.pop(host.name, None)
        return HostJobs(host=host, jobs=jobs)
