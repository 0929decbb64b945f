# SPDX-License-Identifier: Apache-2.0
"""The time of arrival of each line, from what the host has recorded."""

from __future__ import annotations

import time

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.jobs.follow import fetch_rest
from mlcube_remote.jobs.log_times import LogTimes, Stamps, lacks_times, parse_times
from mlcube_remote.jobs.since import Since
from mlcube_remote.jobs.state import TaskReport
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.fake import FakeConnection
from tests.support.fake_jobs import records
from tests.support.handles import TICKET

OUT, ERR = Stream.STDOUT, Stream.STDERR
NOON = 1_795_953_600
"""2026-11-29T12:00:00Z."""

REPORT = TaskReport(
    exit=0, alive=False, sizes={OUT: 12, ERR: 12}, started=NOON, finished=NOON + 100.5
)
TEXTS = (b"one\ntwo\nend\n", b"err 1\nerr 2\n")
TIMES = f"{NOON + 1} 4 0\n{NOON + 5} 4 6\n{NOON + 60} 8 12\n"


def times(text: str = TIMES, now: float = NOON + 200.0) -> LogTimes:
    return LogTimes(entries=parse_times(text), now=now)


def host(text: str = TIMES, order: str = "4 6\n8 12\n", **report: str) -> FakeConnection:
    connection = FakeConnection("gpu")
    facts = {"exit": "0", "alive": "no", "stdout": "12", "stderr": "12", "order": order}
    facts |= {"started": f"{NOON}", "finished": f"{NOON + 100}"} | report
    connection.answer("mlcr_report_task", Reply(0, records(facts), b""))
    answer = {"now": f"{NOON + 200}"} | ({"times": text.rstrip("\n")} if text else {})
    connection.answer("mlcr_report_log_times", Reply(0, records(answer), b""))

    def read(file: str, offset: str) -> Reply:
        return Reply(0, TEXTS[file.endswith("stderr")][int(offset) :], b"")

    connection.answer("mlcr_print_bytes", read)
    return connection


def stamped(connection: FakeConnection, tail: int | None = None) -> list[str]:
    found: list[bytes] = []
    stamps = Stamps(lambda _, data: found.append(data))
    fetch_rest(TICKET, 1, {OUT: 0, ERR: 0}, stamps, connection, tail=tail, stamps=stamps)
    return b"".join(found).decode().splitlines()


ALL = [
    "2026-11-29T12:00:01Z one",
    "2026-11-29T12:00:05Z err 1",
    "2026-11-29T12:01:00Z two",
    "2026-11-29T12:01:00Z err 2",
    "2026-11-29T12:01:40Z end",
]


def test_each_line_has_the_time_of_its_arrival_on_the_host() -> None:
    assert stamped(host()) == ALL
    assert stamped(host(), tail=2) == ALL[-2:]
    # The order of a second is as recorded, also if the times know nothing of it.
    assert stamped(host(f"{NOON + 60} 8 12\n"))[:2] == [
        "2026-11-29T12:01:00Z one",
        "2026-11-29T12:01:00Z err 1",
    ]


def test_a_host_without_times_gives_none_but_for_brief_tasks() -> None:
    assert stamped(host(""))[0] == f"{'-':<21}one"
    assert stamped(host("", finished=f"{NOON + 1}"))[0] == "2026-11-29T12:00:01Z one"
    assert lacks_times(times(""), REPORT)
    assert not lacks_times(times(), REPORT)
    assert not lacks_times(times(""), attrs.evolve(REPORT, finished=NOON + 0.4))
    assert not lacks_times(times(""), attrs.evolve(REPORT, sizes={OUT: 0, ERR: 0}))


@pytest.mark.parametrize(
    ("begin", "sizes"),
    [
        (0, (0, 0)),
        (NOON + 1, (0, 0)),
        (NOON + 2, (4, 0)),
        (NOON + 60, (4, 6)),
        (NOON + 61, (8, 12)),
        (NOON + 100, (8, 12)),
        (NOON + 101, (12, 12)),
    ],
)
def test_output_since_a_time_starts_at_the_sizes_of_then(
    begin: int, sizes: tuple[int, int]
) -> None:
    assert times().offsets_since(begin, REPORT) == dict(zip((OUT, ERR), sizes, strict=True))


def test_a_time_span_is_before_the_time_of_the_host() -> None:
    assert Since(ago=60.0).on(1000.0) == 940.0
    assert Since(at=7.0).on(1000.0) == 7.0


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", ()),
        ("5 1 2\n6 1", ((5, (1, 2)),)),
        ("5 1 2\n4 9 9\n6 0 9\nx y z\n6 3 2\n", ((5, (1, 2)), (6, (3, 2)))),
        ("999999999999999 1 1\n1e3 1 1\n", ()),
    ],
)
def test_times_that_make_no_sense_are_ignored(text: str, entries: object) -> None:
    assert parse_times(text) == entries


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_every_byte_is_passed_on_wherever_it_is_cut(parts: list[bytes]) -> None:
    found = bytearray()
    stamps = Stamps(lambda _, data: found.extend(data), at=NOON)
    for part in parts:
        stamps(OUT, part)
    assert bytes(found).replace(b"2026-11-29T12:00:00Z ", b"") == b"".join(parts)


def test_a_line_has_one_time_and_a_progress_bar_one_for_each_state() -> None:
    found: list[bytes] = []
    stamps = Stamps(lambda _, data: found.append(data), at=NOON)
    for part in (b"a", b"b\r", b"\nc 1%\r", b"c 2%", b"\r\n"):
        stamps(OUT, part)
    stamp = b"2026-11-29T12:00:00Z "
    assert b"".join(found) == stamp + b"ab\r\n" + stamp + b"c 1%\r" + stamp + b"c 2%\r\n"


def test_what_arrives_now_has_the_time_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOON - 500.0)
    found: list[bytes] = []
    stamps = Stamps(lambda _, data: found.append(data))
    stamps.follow(times(now=NOON + 60.0))
    monkeypatch.setattr(time, "time", lambda: NOON - 497.0)
    stamps(ERR, b"x\n")
    assert found == [b"2026-11-29T12:01:03Z x\n"]
