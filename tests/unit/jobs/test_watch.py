# SPDX-License-Identifier: Apache-2.0
"""Hosts are asked again and again with one login each."""

from __future__ import annotations

from mlcube_remote.errors import HostError, StateUnknownError, UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.watch import RETRY_INTERVAL_S, JobWatcher
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection

ANSWER = b"job=x\0state=ended\0age=1\0request=\0"


def test_a_connection_is_used_again_and_closed_at_the_end() -> None:
    connection = FakeConnection("gpu")
    connection.answer("mlcr_report_jobs", *[Reply(0, ANSWER, b"")] * 2)
    logins = []

    def connect(host: Host) -> Connection:
        logins.append(host.name)
        return connection

    watcher = JobWatcher(hosts=(Host(name="gpu"),), connect=connect, everything=True)
    for _ in range(2):
        (answer,) = watcher.query()
        assert [job.job_id for job in answer.jobs] == ["x"]
    assert logins == ["gpu"]
    watcher.close()
    assert connection.is_closed


def test_a_silent_host_is_asked_again_after_a_while() -> None:
    tries: list[float] = []
    now = 0.0

    def connect(host: Host) -> Connection:
        tries.append(now)
        raise UnreachableError(host.name, "refused")

    watcher = JobWatcher(
        hosts=(Host(name="gpu"),), connect=connect, everything=True, clock=lambda: now
    )
    for moment in (0.0, 2.0, RETRY_INTERVAL_S + 1):
        now = moment
        (answer,) = watcher.query()
        assert answer.error is not None
    assert tries == [0.0, RETRY_INTERVAL_S + 1]


class _Lost(FakeConnection):
    def call(self, *_: object, **__: object) -> Reply:
        raise StateUnknownError(self.name, "the connection was lost")


def test_a_lost_connection_is_closed_and_opened_again() -> None:
    lost, good = _Lost("gpu"), FakeConnection("gpu")
    good.answer("mlcr_report_jobs", Reply(0, ANSWER, b""))
    connections: list[Connection] = [good, lost]
    now = 0.0
    watcher = JobWatcher(
        hosts=(Host(name="gpu"),),
        connect=lambda _: connections.pop(),
        everything=True,
        clock=lambda: now,
    )
    (answer,) = watcher.query()
    assert isinstance(answer.error, HostError)
    assert lost.is_closed
    now = RETRY_INTERVAL_S
    (answer,) = watcher.query()
    assert len(answer.jobs) == 1
