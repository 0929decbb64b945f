# SPDX-License-Identifier: Apache-2.0
"""Two logs are shown as one, in the order in which the host saw them grow."""

from __future__ import annotations

import time

import pytest

from mlcube_remote.jobs import log_order
from mlcube_remote.jobs.follow import fetch_rest, follow_task
from mlcube_remote.jobs.log_order import (
    LastLines,
    fetch_order,
    parse_order,
    pass_on_in_order,
    split_by_order,
)
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records
from tests.support.handles import TICKET
from tests.support.reconnects import Exchange

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", ()),
        ("3 4\n10 4\n", ((3, 4), (10, 4))),
        ("3 4\n1", ((3, 4),)),
        ("3 4\n1 2 3\n-1 5\nx y\n٣ 4\n\n7 8", ((3, 4), (7, 8))),
    ],
)
def test_what_makes_no_sense_is_ignored(text: str, order: tuple[tuple[int, int], ...]) -> None:
    assert parse_order(text) == order


SPLITS = {
    "no order": ((), (0, 0), (5, 3), [(OUT, 5), (ERR, 3)]),
    "nothing": ((), (0, 0), (0, 0), []),
    "alternating": (
        ((2, 1), (4, 1), (4, 3)),
        (0, 0),
        (5, 4),
        [(OUT, 2), (ERR, 1), (OUT, 2), (ERR, 2), (OUT, 1), (ERR, 1)],
    ),
    "from the middle": (((2, 2), (4, 4)), (3, 1), (4, 5), [(ERR, 1), (OUT, 1), (ERR, 2), (ERR, 1)]),
    "sizes that are not true": (((9, 1), (1, 99), (0, 0)), (0, 0), (5, 3), [(OUT, 5), (ERR, 1)]),
}


@pytest.mark.parametrize("case", SPLITS)
def test_every_byte_is_passed_on_once(case: str) -> None:
    order, (out, err), (out_end, err_end), expected = SPLITS[case]
    found = list(split_by_order(order, {OUT: out, ERR: err}, {OUT: out_end, ERR: err_end}))
    assert found[: len(expected)] == expected
    for stream, count in ((OUT, out_end - out), (ERR, err_end - err)):
        assert sum(size for each, size in found if each is stream) == count


def host(order: str, stdout: bytes, stderr: bytes, *, piece: int = 3) -> FakeConnection:
    """Return a connection to a host whose task has written this and ended."""
    files = {"stdout": stdout, "stderr": stderr, "order": order.encode()}
    facts = {"exit": 0, "alive": "yes", "stdout": len(stdout), "stderr": len(stderr)}
    connection = FakeConnection("gpu")

    def report(*args: str) -> Reply:
        more = {"order": order[:262_144].rstrip("\n")} if args[2:] == ("order",) else {}
        return Reply(0, records(facts | more), b"")

    def read(file: str, offset: str) -> Reply:
        return Reply(0, files[file.rpartition("/")[2]][int(offset) :][:piece], b"")

    connection.answer("mlcr_report_task", report)
    connection.answer("mlcr_print_bytes", read)
    return connection


def shown(connection: FakeConnection, tail: int | None = None) -> list[tuple[Stream, bytes]]:
    """Return what is passed on, with neighbours of one stream joined."""
    found: list[tuple[Stream, bytes]] = []

    def take(stream: Stream, data: bytes) -> None:
        if found and found[-1][0] is stream:
            data = found.pop()[1] + data
        found.append((stream, data))

    fetch_rest(TICKET, 1, {OUT: 0, ERR: 0}, take, connection, tail=tail)
    return found


ORDER, TEXTS = "4 6\n8 12\n", (b"one\ntwo\nend\n", b"err 1\nerr 2\n")
MERGED = [(OUT, b"one\n"), (ERR, b"err 1\n"), (OUT, b"two\n"), (ERR, b"err 2\n"), (OUT, b"end\n")]


def test_both_logs_are_passed_on_in_order() -> None:
    connection = host(ORDER, *TEXTS, piece=512)
    assert shown(connection) == MERGED
    assert len(connection.calls) == 3, "the report, and one call for each log"
    assert shown(host(ORDER, *TEXTS)) == MERGED


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 99])
def test_the_last_lines_of_both_logs_together(count: int) -> None:
    assert shown(host(ORDER, *TEXTS), tail=count) == MERGED[len(MERGED) - min(count, 5) :]


def test_a_line_counts_when_it_is_complete() -> None:
    last = LastLines(2)
    for stream, data in ((OUT, b"half "), (ERR, b"a\nb\n"), (OUT, b"and done\n"), (ERR, b"open")):
        last.add(stream, data)
    found: list[tuple[Stream, bytes]] = []
    last.pass_on(lambda *line: found.append(line))
    assert found == [(OUT, b"half and done\n"), (ERR, b"open")]


def test_a_long_order_is_fetched_in_parts() -> None:
    lines = "".join(f"{n} {n}\n" for n in range(1, 50_000))
    connection = host(lines, b"", b"", piece=100_000)
    found = fetch_order(connection, TICKET, 1, lines[:262_144].rstrip("\n"))
    assert found == tuple((n, n) for n in range(1, 50_000))


def test_an_order_without_end_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_order, "_MAX_ORDER", 1_000_000)
    connection = FakeConnection("gpu")
    connection.answer("mlcr_print_bytes", Reply(0, b"1 2\n" * 100_000, b""))
    assert fetch_order(connection, TICKET, 1, "1 2\n" * 70_000)
    assert len(connection.calls) < 5


def test_a_client_that_attaches_sees_the_recorded_order() -> None:
    found: list[tuple[Stream, bytes]] = []
    connection = host(ORDER, *TEXTS, piece=512)
    exchange = Exchange([connection]).connection(connection)
    follow_task(exchange, TICKET, 1, lambda *each: found.append(each), catches_up=True)
    assert found == MERGED
    assert "mlcr_follow_task" not in [call.function for call in connection.calls]


def test_an_order_of_single_bytes_takes_little_time() -> None:
    """A host may name each byte as a moment: the work must not grow with the square."""
    size = 800_000
    received: list[int] = []
    end = {OUT: size, ERR: 0}
    connection = host("", b"x" * size, b"", piece=size)
    order = ((n, 0) for n in range(1, size))
    begin = time.thread_time()
    pass_on_in_order(
        connection,
        TICKET,
        1,
        order,
        {OUT: 0, ERR: 0},
        end,
        lambda _, data: received.append(len(data)),
    )
    assert (sum(received), len(received)) == (size, size)
    assert time.thread_time() - begin < 8
