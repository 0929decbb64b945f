# SPDX-License-Identifier: Apache-2.0
"""Ask many hosts at the same time; one that gives no answer does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection

T = TypeVar("T")

AT_ONCE = 32
"""Default number of hosts that are asked at the same time."""


def ask_hosts(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    ask: Callable[[Connection, Host], T],
    without_answer: Callable[[Host, HostError], T],
    *,
    parallel: int = AT_ONCE,
) -> tuple[T, ...]:
    """Ask hosts in parallel, and return their answers in order.

    Args:
        hosts: The hosts.
        connect: Opens a connection.
        ask: Asks a host; the connection is closed afterwards.
        without_answer: Returns the result for a host that gives no answer.
        parallel: Maximum number of hosts asked at the same time.
    """

    def work(host: Host) -> T:
        try:
            with closing(connect(host)) as connection:
                return ask(connection, host)
        except HostError as problem:
            return without_answer(host, problem)

    todo = list(hosts)
    with ThreadPoolExecutor(max(1, min(parallel, len(todo)))) as pool:
        return tuple(pool.map(work, todo))
