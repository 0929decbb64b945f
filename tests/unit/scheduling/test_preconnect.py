# SPDX-License-Identifier: Apache-2.0
"""Connections that are opened early are used once, or closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.scheduling.preconnect import EarlyConnector
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.local import LocalConnection


@attrs.define
class Line(LocalConnection):
    closed: threading.Event = attrs.field(factory=threading.Event)

    def close(self) -> None:
        self.closed.set()


@attrs.define
class Exchange:
    """Makes connections, and keeps a list of them."""

    made: list[Line] = attrs.field(factory=list)

    def __call__(self, host: Host, note: Callable[[str], None]) -> Connection:
        if host.name == "dead":
            raise UnreachableError(host.name, "no answer")
        note(f"dialled {host.name}")
        self.made.append(Line(host))
        return self.made[-1]


A, B, DEAD = Host(name="a"), Host(name="b"), Host(name="dead")


def test_an_early_connection_is_the_one_that_a_job_gets() -> None:
    exchange, notes = Exchange(), list[str]()
    dialler = EarlyConnector(exchange)
    dialler.begin([A, B], at_once=1)
    first = dialler(A, notes.append)
    assert [line.name for line in exchange.made] == ["a"], "b is connected when it is needed"
    assert first is exchange.made[0]
    assert dialler(B, notes.append) is exchange.made[1]
    assert notes == ["dialled a", "dialled b"]
    assert dialler(A, notes.append) is not first


def test_a_failure_is_raised_when_the_connection_is_needed() -> None:
    dialler = EarlyConnector(Exchange())
    dialler.begin([DEAD], at_once=8)
    with pytest.raises(UnreachableError, match="no answer"):
        dialler(DEAD, lambda _: None)


def test_an_unused_connection_is_closed() -> None:
    exchange = Exchange()
    dialler = EarlyConnector(exchange)
    dialler.begin([A, DEAD, B], at_once=8)
    taken = dialler(A, lambda _: None)
    while len(exchange.made) < 2:
        threading.Event().wait(0.01)
    dialler.close_idle()
    (other,) = (line for line in exchange.made if line is not taken)
    assert other.closed.wait(5)
    assert not exchange.made[exchange.made.index(other) - 1].closed.is_set()
