# SPDX-License-Identifier: Apache-2.0
"""A line that breaks is made again, and what was followed goes on at the exact byte."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    HostError,
    StateUnknownError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Event, Note
from mlcube_remote.jobs import follow as following
from mlcube_remote.jobs import reconnecting as lines
from mlcube_remote.jobs.follow import follow_task
from mlcube_remote.jobs.reconnecting import Line
from mlcube_remote.transport.base import Connection, Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.handles import TICKET

LOST = StateUnknownError("gpu", "connection lost")
DOWN = UnreachableError("gpu", "connection refused")
OK = Reply(0, b"", b"")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(lines, "_LONGEST_PAUSE", 0.002)
    monkeypatch.setattr(following, "_RESUME_DELAY_S", 0.0)


@attrs.define
class Exchange:
    """Dials connections in the order given; errors are refusals."""

    next: list[FakeConnection | HostError]
    events: list[Event] = attrs.field(factory=list)

    def dial(self) -> Connection:
        answer = self.next.pop(0) if len(self.next) > 1 else self.next[0]
        if isinstance(answer, HostError):
            raise answer
        return answer

    def line(self, connection: FakeConnection, timeout: float = 5.0) -> Line:
        events = JobEvents(host="gpu", began=0.0, sink=self.events.append)
        return Line(connection=connection, dial=self.dial, events=events, timeout=timeout)

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]


def fake(**answers: Reply | HostError | Callable[..., Reply]) -> FakeConnection:
    connection = FakeConnection("gpu")
    for function, answer in answers.items():
        connection.answer(function, answer)
    return connection


def test_work_is_done_again_on_a_new_connection() -> None:
    first = fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST)
    second = fake(mlcr_print_boot_id=OK, mlcr_print_kind=Reply(0, b"d", b""))
    exchange = Exchange([DOWN, DOWN, second])
    line = exchange.line(first)
    assert line.steadily(lambda at: at.call("mlcr_print_kind", "/")).text == "d"
    assert line.connection is second
    assert first.is_closed
    assert exchange.notes() == ["connection lost; reconnecting", "connected again"]


@pytest.mark.parametrize(
    ("refused", "timeout"),
    [(DOWN, 0.01), (AuthenticationError("gpu", "key refused"), 60.0)],
)
def test_a_host_that_stays_away_is_given_up_with_the_next_step(
    refused: HostError, timeout: float
) -> None:
    line = Exchange([refused]).line(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST), timeout)
    line.attach_hint = "mlcube-remote attach x"
    with pytest.raises(StateUnknownError, match="not reachable any more") as caught:
        line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert refused.reason in str(caught.value)
    assert caught.value.hint == "mlcube-remote attach x"


def test_a_fault_on_a_living_connection_is_no_broken_line() -> None:
    incomplete = TransferError("gpu", "disk full")
    line = Exchange([DOWN]).line(fake(mlcr_print_boot_id=OK))

    def work(_connection: Connection) -> None:
        raise incomplete

    with pytest.raises(TransferError, match="disk full"):
        line.steadily(work)


def test_a_line_that_was_closed_is_not_made_again() -> None:
    exchange = Exchange([fake()])
    line = exchange.line(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    line.close()
    with pytest.raises(StateUnknownError):
        line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert exchange.notes() == []


def test_each_new_connection_is_prepared_before_work_goes_on() -> None:
    second = fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)
    line = Exchange([second]).line(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    seen: list[Connection] = []
    line.on_reconnect = seen.append
    line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert seen == [second]


def _call_state(connection: Connection) -> None:
    connection.call("mlcr_print_job_state", "x")


def test_a_connection_that_breaks_while_it_is_prepared_is_replaced() -> None:
    bad = fake(mlcr_print_boot_id=OK, mlcr_print_job_state=LOST)
    good = fake(mlcr_print_boot_id=OK, mlcr_print_job_state=OK, mlcr_print_kind=OK)
    line = Exchange([bad, good]).line(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    line.on_reconnect = _call_state
    line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert line.connection is good


def test_a_host_that_lets_in_and_never_answers_is_given_up() -> None:
    exchange = Exchange([fake(mlcr_print_boot_id=LOST)])
    line = exchange.line(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST), timeout=0.02)
    line.attach_hint = "mlcube-remote attach r"
    with pytest.raises(StateUnknownError, match="not reachable any more") as given_up:
        line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert given_up.value.hint == "mlcube-remote attach r"
    assert exchange.notes() == ["connection lost; reconnecting"]


def test_a_line_that_does_not_hold_is_made_again_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "_LONGEST_PAUSE", 0.016)
    pauses: list[float] = []

    def at_once(pause: float) -> float:
        pauses.append(pause)
        return 0.0

    monkeypatch.setattr(lines, "_jittered", at_once)
    breaking = [fake(mlcr_print_kind=LOST) for _ in range(6)]
    for connection in breaking:
        connection.answer("mlcr_print_boot_id", OK, LOST)
    line = Exchange([*breaking, fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)]).line(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST)
    )
    line.steadily(lambda at: at.call("mlcr_print_kind", "/"))
    assert pauses == [0.002, 0.004, 0.008, 0.016, 0.016, 0.016]


def report(exit: str, stdout: int, **more: str) -> Reply:  # noqa: A002
    told = {"exit": exit, "alive": "yes", "stdout": str(stdout), "stderr": "0", **more}
    return Reply(0, "".join(f"{key}={value}\0" for key, value in told.items()).encode(), b"")


@attrs.define
class Log:
    """A task's log on a host whose connections break after some bytes."""

    text: bytes
    breaks: list[int]
    is_begun: bool = False
    heard: bytearray = attrs.field(factory=bytearray)

    def connection(self) -> FakeConnection:
        connection = FakeConnection("gpu")
        size = self.breaks.pop(0) if self.breaks else None

        def follow(_job: str, _number: str, stdout: str, _stderr: str) -> Reply:
            begin = int(stdout)
            if size is None:
                return Reply(0, self.text[begin : begin + 3], b"")
            return Reply(0, self.text[begin : begin + size], b"")

        def read(_file: str, offset: str) -> Reply:
            return Reply(0, self.text[int(offset) :][:4], b"")

        connection.answer("mlcr_follow_task", follow)
        connection.answer("mlcr_print_bytes", read)
        if size is None:
            connection.answer("mlcr_print_boot_id", OK)
        else:
            # Only those that are made anew are asked whether they live before they are used.
            connection.answer("mlcr_print_boot_id", *([OK] if self.is_begun else []), LOST)
        self.is_begun = True
        connection.answer("mlcr_report_task", report("0", len(self.text)) if size is None else LOST)
        return connection

    def take(self, stream: Stream, data: bytes) -> None:
        assert stream is Stream.STDOUT
        self.heard += data


@pytest.mark.parametrize("breaks", [[], [0], [5], [1, 1, 1], [7, 0, 2, 100]])
def test_a_log_is_followed_to_the_byte_over_any_number_of_connections(breaks: list[int]) -> None:
    log = Log(bytes(range(256)), list(breaks))
    first = log.connection()
    exchange = Exchange([log.connection() for _ in breaks] or [first])
    found = follow_task(exchange.line(first), TICKET, 1, log.take)
    assert bytes(log.heard) == log.text
    assert found.exit == 0


def test_a_task_that_lost_its_supervisor_is_given_another() -> None:
    connection = fake(mlcr_follow_task=OK, mlcr_adopt_task=OK)
    orphan = {"alive": "no", "container": "running 0 false"}
    connection.answer("mlcr_report_task", report("pending", 0, **orphan), report("7", 0))
    told: list[str] = []
    found = follow_task(
        Exchange([connection]).line(connection),
        TICKET,
        1,
        lambda *_: None,
        adopted=lambda: told.append("adopted"),
    )
    assert found.exit == 7
    assert told == ["adopted"]
    assert [call.function for call in connection.calls].count("mlcr_adopt_task") == 1


def test_a_stream_that_ends_before_its_task_is_opened_again() -> None:
    connection = fake(mlcr_follow_task=OK)
    connection.answer("mlcr_report_task", report("pending", 0), report("0", 0))
    found = follow_task(Exchange([connection]).line(connection), TICKET, 1, lambda *_: None)
    assert found.exit == 0
    assert [call.function for call in connection.calls].count("mlcr_follow_task") == 2


def test_a_task_that_nobody_runs_any_more_is_not_waited_for() -> None:
    connection = fake(mlcr_follow_task=OK, mlcr_report_task=report("pending", 0, alive="no"))
    found = follow_task(Exchange([connection]).line(connection), TICKET, 1, lambda *_: None)
    assert found.exit is None
    assert not found.alive
