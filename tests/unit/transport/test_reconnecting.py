# SPDX-License-Identifier: Apache-2.0
"""A connection that breaks is replaced, and work continues on the new one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from mlcube_remote.errors import (
    AuthenticationError,
    HostError,
    StalledError,
    StateUnknownError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.transport import backoff, reconnecting
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.reconnecting import ReconnectingConnection
from tests.support.reconnects import OK, Exchange, fake

LOST = StateUnknownError("gpu", "connection lost")
DOWN = UnreachableError("gpu", "connection refused")


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "_FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(reconnecting, "_LONGEST_DELAY_S", 0.002)


def test_work_is_repeated_on_a_new_connection() -> None:
    first = fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST)
    second = fake(mlcr_print_boot_id=OK, mlcr_print_kind=Reply(0, b"d", b""))
    exchange = Exchange([DOWN, DOWN, second])
    connection = exchange.connection(first)
    assert connection.retrying(lambda at: at.call("mlcr_print_kind", "/")).text == "d"
    assert connection.current is second
    assert first.is_closed
    assert exchange.notes == ["connection lost; reconnecting", "connected again"]


@pytest.mark.parametrize(
    ("refused", "timeout"),
    [(DOWN, 0.01), (AuthenticationError("gpu", "key refused"), 60.0)],
)
def test_a_host_that_stays_unreachable_ends_with_the_next_step(
    refused: HostError, timeout: float
) -> None:
    connection = Exchange([refused]).connection(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST), timeout
    )
    connection.attach_hint = "mlcube-remote attach x"
    with pytest.raises(StateUnknownError, match="can no longer be reached") as caught:
        connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert refused.reason in str(caught.value)
    assert caught.value.hint == "mlcube-remote attach x"


def test_what_a_refused_login_needs_comes_before_attaching() -> None:
    refused = AuthenticationError("gpu", "login refused", hint="get a new ticket: kinit")
    connection = Exchange([refused]).connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    connection.attach_hint = "mlcube-remote attach x"
    with pytest.raises(StateUnknownError) as caught:
        connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert caught.value.hint == "get a new ticket: kinit\nthen: mlcube-remote attach x"


def test_an_error_on_a_working_connection_is_raised() -> None:
    incomplete = TransferError("gpu", "disk full")
    connection = Exchange([DOWN]).connection(fake(mlcr_print_boot_id=OK))

    def work(_connection: Connection) -> None:
        raise incomplete

    with pytest.raises(TransferError, match="disk full"):
        connection.retrying(work)


def test_a_closed_connection_is_not_replaced() -> None:
    exchange = Exchange([fake()])
    connection = exchange.connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    connection.close()
    with pytest.raises(StateUnknownError):
        connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert exchange.notes == []


def test_each_new_connection_is_prepared_before_work_continues() -> None:
    second = fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)
    connection = Exchange([second]).connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    seen: list[Connection] = []
    connection.on_reconnect = seen.append
    connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert seen == [second]


def _call_state(connection: Connection) -> None:
    connection.call("mlcr_print_job_state", "x")


def test_a_connection_that_breaks_while_it_is_prepared_is_replaced() -> None:
    bad = fake(mlcr_print_job_state=LOST)
    bad.answer("mlcr_print_boot_id", OK, LOST)
    good = fake(mlcr_print_boot_id=OK, mlcr_print_job_state=OK, mlcr_print_kind=OK)
    connection = Exchange([bad, good]).connection(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST)
    )
    connection.on_reconnect = _call_state
    connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert connection.current is good
    assert bad.is_closed


def test_a_host_that_accepts_logins_and_never_answers_is_caught() -> None:
    exchange = Exchange([fake(mlcr_print_boot_id=LOST)])
    connection = exchange.connection(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST), timeout=0.02
    )
    connection.attach_hint = "mlcube-remote attach r"
    with pytest.raises(StateUnknownError, match="can no longer be reached") as caught:
        connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert caught.value.hint == "mlcube-remote attach r"
    assert exchange.notes == ["connection lost; reconnecting"]


def test_an_unstable_connection_is_replaced_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconnecting, "_LONGEST_DELAY_S", 0.016)
    pauses: list[float] = []

    def at_once(pause: float) -> float:
        pauses.append(pause)
        return 0.0

    monkeypatch.setattr(reconnecting, "with_jitter", at_once)
    monkeypatch.setattr(backoff, "with_jitter", at_once)
    breaking = [fake(mlcr_print_kind=LOST) for _ in range(6)]
    for each in breaking:
        each.answer("mlcr_print_boot_id", OK, LOST)
    connection = Exchange([*breaking, fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)]).connection(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST)
    )
    connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert pauses == [0.002, 0.004, 0.008, 0.016, 0.016, 0.016]


def test_a_login_that_is_cut_during_a_reconnect_is_retried() -> None:
    cut = UnreachableError("gpu", "the connection to gpu:22 was closed during the login")
    good = fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)
    exchange = Exchange([cut, cut, good])
    connection = exchange.connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert connection.current is good
    assert exchange.notes == ["connection lost; reconnecting", "connected again"]


def test_an_error_of_the_preparation_is_not_a_broken_connection() -> None:
    taken = StateUnknownError("gpu", "another client took over the run")
    exchange = Exchange([fake(mlcr_print_boot_id=OK, mlcr_print_job_state=taken)])
    connection = exchange.connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    connection.on_reconnect = _call_state
    with pytest.raises(StateUnknownError, match="another client took over the run"):
        connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert exchange.dials == 1


def test_a_second_login_that_fails_is_a_broken_connection() -> None:
    """The check of a connection may need another login, if sshd allows few sessions."""
    good = fake(mlcr_print_boot_id=OK, mlcr_print_kind=OK)
    connection = Exchange([good]).connection(fake(mlcr_print_boot_id=DOWN, mlcr_print_kind=LOST))
    connection.retrying(lambda at: at.call("mlcr_print_kind", "/"))
    assert connection.current is good


def test_threads_share_one_timeout() -> None:
    exchange = Exchange([DOWN])
    connection = exchange.connection(
        fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST), timeout=2.0
    )
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        work = [
            pool.submit(connection.retrying, lambda at: at.call("mlcr_print_kind", "/"))
            for _ in range(4)
        ]
    assert all(isinstance(each.exception(), StateUnknownError) for each in work)
    assert time.monotonic() - started < 7, "not two seconds for each"


def test_an_error_of_an_old_connection_is_not_raised_on_the_new_one() -> None:
    """Another thread has reconnected while this one waited for an answer on the old connection."""
    old = fake(mlcr_print_boot_id=LOST)
    new = fake(mlcr_print_boot_id=OK, mlcr_print_kind=Reply(0, b"d", b""))
    exchange = Exchange([UnreachableError("gpu", "must not be dialled")])
    connection = exchange.connection(old)

    def answer_late(_path: str) -> Reply:
        connection.current = new
        raise LOST

    old.answer("mlcr_print_kind", answer_late)
    assert connection.retrying(lambda at: at.call("mlcr_print_kind", "/")).text == "d"
    assert exchange.notes == []


def test_several_threads_reconnect_once() -> None:
    good = fake(mlcr_print_boot_id=OK, mlcr_print_kind=Reply(0, b"d", b""))
    exchange = Exchange([good])
    connection = exchange.connection(fake(mlcr_print_boot_id=LOST, mlcr_print_kind=LOST))
    with ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(connection.retrying, lambda at: at.call("mlcr_print_kind", "/"))
            for _ in range(8)
        ]
    assert {each.result().text for each in work} == {"d"}
    assert exchange.notes == ["connection lost; reconnecting", "connected again"]
    assert exchange.dials == 1


class Cut:
    """Work that a host cuts each time, although it accepts each login."""

    def __init__(
        self, connection: ReconnectingConnection, *, step: int = 0, times: int = 10**9
    ) -> None:
        self.connection, self.step, self.left = connection, step, times
        self.received = self.tries = 0

    def work(self, _at: Connection) -> int:
        self.tries += 1
        self.received += self.step
        self.left -= 1
        if self.left < 0:
            return self.tries
        raise LOST

    def do(self) -> int:
        return self.connection.retrying(self.work, transferred=lambda: self.received)


def flapping(monkeypatch: pytest.MonkeyPatch) -> ReconnectingConnection:
    """Return a connection that can be replaced as often as it breaks."""
    monkeypatch.setattr(backoff, "with_jitter", lambda _: 0.0)
    monkeypatch.setattr(reconnecting, "with_jitter", lambda _: 0.0)
    connection = Exchange([DOWN]).connection(fake(mlcr_print_boot_id=LOST))

    def dial() -> Connection:
        fresh = FakeConnection("gpu")
        fresh.answer("mlcr_print_boot_id", OK, LOST)
        return fresh

    connection.dial = dial
    return connection


@pytest.mark.parametrize("step", [0, 1, reconnecting._MIN_PROGRESS - 1])
def test_a_host_that_cuts_each_try_ends_the_work(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    cut = Cut(flapping(monkeypatch), step=step)
    with pytest.raises(StalledError, match="broke 50 times without progress: connection lost"):
        cut.do()
    assert cut.tries == 50


def test_work_that_makes_progress_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cut(flapping(monkeypatch), step=reconnecting._MIN_PROGRESS, times=200)
    assert cut.do() == 201


@attrs.define
class Clock:
    """The time for the code that reconnects."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "is_open_ended", "ends"),
    [(70.0, False, True), (10.0, True, True), (70.0, True, False)],
)
def test_only_work_without_an_end_may_break_after_a_minute_each_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, is_open_ended: bool, ends: bool
) -> None:
    clock = Clock()
    cut = Cut(flapping(monkeypatch), times=200)
    monkeypatch.setattr(reconnecting, "time", clock)
    monkeypatch.setattr(backoff, "time", clock)

    def work(at: Connection) -> int:
        clock.now += seconds
        return cut.work(at)

    if ends:
        with pytest.raises(StalledError, match="broke 50 times without progress"):
            cut.connection.retrying(work, is_open_ended=is_open_ended)
        assert cut.tries == 50
    else:
        assert cut.connection.retrying(work, is_open_ended=is_open_ended) == 201
