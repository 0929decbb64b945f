# SPDX-License-Identifier: Apache-2.0
"""A connection that a job no longer needs is used by the next job of the host."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.dispatch.connections import ConnectionPool
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import StateUnknownError, TransferError, UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.reconnecting import ReconnectingConnection

GPU, CPU = Host(name="gpu"), Host(name="cpu")
ALIVE = Reply(0, b"boot", b"")


@attrs.define
class Dials:
    """Opens a new connection for each call."""

    made: list[FakeConnection] = attrs.field(factory=list)

    def __call__(self, host: Host, _note: Callable[[str], None]) -> Connection:
        connection = FakeConnection(host.name)
        connection.answer("mlcr_print_boot_id", ALIVE)
        self.made.append(connection)
        return connection


@pytest.fixture
def dials() -> Dials:
    return Dials()


@pytest.fixture
def run(dials: Dials) -> RunContext:
    return RunContext(connect=dials, sink=lambda _: None, keeps=True)


@pytest.fixture
def pool(run: RunContext) -> ConnectionPool:
    return run.connections


def note(_: str) -> None:
    """Ignore a note."""


def test_each_job_gets_its_own_connection_or_an_idle_one(
    pool: ConnectionPool, dials: Dials
) -> None:
    first, second = pool.take(GPU, note), pool.take(GPU, note)
    assert first is not second
    pool.give_back(first)
    assert pool.take(CPU, note) is not first
    assert pool.take(GPU, note) is first
    assert pool.take(GPU, note) is not first
    assert not any(each.is_closed for each in dials.made)


def test_a_dead_idle_connection_is_replaced(pool: ConnectionPool, dials: Dials) -> None:
    """A job that waited for its host could go to another host instead."""
    left = FakeConnection("gpu")
    left.answer("mlcr_print_boot_id", StateUnknownError("gpu", "connection lost"))
    pool.give_back(left)
    assert pool.take(GPU, note) is dials.made[0]
    assert left.is_closed

    def down(*_: object) -> Connection:
        raise UnreachableError("gpu", "no route")

    pool.connect = down
    pool.give_back(left)
    with pytest.raises(UnreachableError):
        pool.take(GPU, note)


@pytest.mark.parametrize(
    "end",
    [
        lambda run: run.interrupts.stop(),
        lambda run: run.interrupts.detach(),
        lambda run: run.connections.close(),
    ],
    ids=["stop", "detach", "close"],
)
def test_no_connection_is_kept_after_the_end_of_a_run(
    run: RunContext, pool: ConnectionPool, dials: Dials, end: Callable[[RunContext], None]
) -> None:
    kept = pool.take(GPU, note)
    used = pool.take(GPU, note)
    pool.give_back(kept)
    end(run)
    pool.give_back(used)
    pool.close()
    assert all(each.is_closed for each in dials.made)


def test_if_each_host_has_one_job_its_connection_is_closed(dials: Dials) -> None:
    pool = RunContext(connect=dials, sink=lambda _: None).connections
    pool.give_back(pool.take(GPU, note))
    assert dials.made[0].is_closed


def reconnecting(connection: Connection) -> ReconnectingConnection:
    return ReconnectingConnection(current=connection, dial=lambda: connection)


def test_a_failed_job_leaves_no_connection(pool: ConnectionPool, dials: Dials) -> None:
    with (
        pytest.raises(TransferError),
        reconnecting(pool.take(GPU, note)).until_done(pool.give_back),
    ):
        raise TransferError("gpu", "it broke off")
    line = reconnecting(pool.take(GPU, note))
    with line.until_done(pool.give_back):
        line.close()  # as an interrupt does, while the job ends well
    assert [each.is_closed for each in dials.made] == [True, True]
    with reconnecting(pool.take(GPU, note)).until_done(pool.give_back):
        pass
    assert pool.take(GPU, note) is dials.made[2]
