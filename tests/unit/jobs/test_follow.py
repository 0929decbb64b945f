# SPDX-License-Identifier: Apache-2.0
"""A task's output is followed to the exact byte, over any number of connections."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.jobs import follow
from mlcube_remote.jobs.follow import follow_task
from mlcube_remote.transport import reconnecting
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.handles import TICKET
from tests.support.reconnects import OK, Exchange, fake

LOST = StateUnknownError("gpu", "connection lost")


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "_FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(reconnecting, "_LONGEST_DELAY_S", 0.002)
    monkeypatch.setattr(follow, "_RESUME_DELAY_S", 0.0)


def report(exit: str, stdout: int, **more: str) -> Reply:  # noqa: A002
    facts = {"exit": exit, "alive": "yes", "stdout": str(stdout), "stderr": "0", **more}
    return Reply(0, "".join(f"{key}={value}\0" for key, value in facts.items()).encode(), b"")


@attrs.define
class Log:
    """A task's log on a host whose connections break after some bytes."""

    text: bytes
    breaks: list[int]
    is_first_made: bool = False
    received: bytearray = attrs.field(factory=bytearray)

    def connection(self) -> FakeConnection:
        connection = FakeConnection("gpu")
        size = self.breaks.pop(0) if self.breaks else None

        def follow_from(_job: str, _number: str, stdout: str, *_: str) -> Reply:
            start = int(stdout)
            if size is None:
                return Reply(0, self.text[start : start + 3], b"")
            return Reply(0, self.text[start : start + size], b"")

        def read(_file: str, offset: str) -> Reply:
            return Reply(0, self.text[int(offset) :][:4], b"")

        connection.answer("mlcr_follow_task", follow_from)
        connection.answer("mlcr_print_bytes", read)
        if size is None:
            connection.answer("mlcr_print_boot_id", OK)
        else:
            # Only a replacement is asked for an answer before it is used.
            connection.answer("mlcr_print_boot_id", *([OK] if self.is_first_made else []), LOST)
        self.is_first_made = True
        connection.answer("mlcr_report_task", report("0", len(self.text)) if size is None else LOST)
        return connection

    def take(self, stream: Stream, data: bytes) -> None:
        assert stream is Stream.STDOUT
        self.received += data


@pytest.mark.parametrize("breaks", [[], [0], [5], [1, 1, 1], [7, 0, 2, 100]])
def test_a_log_is_followed_to_the_byte_over_any_number_of_connections(breaks: list[int]) -> None:
    log = Log(bytes(range(256)), list(breaks))
    first = log.connection()
    exchange = Exchange([log.connection() for _ in breaks] or [first])
    found = follow_task(exchange.connection(first), TICKET, 1, log.take)
    assert bytes(log.received) == log.text
    assert found.exit == 0


def test_a_task_without_its_supervisor_gets_a_new_one() -> None:
    connection = fake(mlcr_follow_task=OK, mlcr_adopt_task=OK)
    orphan = {"alive": "no", "container": "running 0 false"}
    connection.answer("mlcr_report_task", report("pending", 0, **orphan), report("7", 0))
    calls: list[str] = []
    found = follow_task(
        Exchange([connection]).connection(connection),
        TICKET,
        1,
        lambda *_: None,
        adopted=lambda: calls.append("adopted"),
    )
    assert found.exit == 7
    assert calls == ["adopted"]
    assert [call.function for call in connection.calls].count("mlcr_adopt_task") == 1


def test_a_stream_that_ends_before_its_task_is_opened_again() -> None:
    connection = fake(mlcr_follow_task=OK)
    answers = [report("pending", 0), report("pending", 0), report("0", 0)]
    connection.answer("mlcr_report_task", *answers)
    found = follow_task(Exchange([connection]).connection(connection), TICKET, 1, lambda *_: None)
    assert found.exit == 0
    assert [call.function for call in connection.calls].count("mlcr_follow_task") == 2


def test_a_task_that_no_longer_runs_is_not_waited_for() -> None:
    connection = fake(mlcr_follow_task=OK, mlcr_report_task=report("pending", 0, alive="no"))
    found = follow_task(Exchange([connection]).connection(connection), TICKET, 1, lambda *_: None)
    assert found.exit is None
    assert not found.alive
