# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport.base import Connection, Reply, RsyncResult, Stream
from mlcube_remote.transport.fake import RSYNC, Call, FakeConnection, UnexpectedCallError


@pytest.fixture
def fake() -> FakeConnection:
    return FakeConnection("gpu01")


def test_is_a_connection(fake: FakeConnection) -> None:
    connection: Connection = fake

    assert connection.name == "gpu01"


def test_answers_in_turn_and_then_the_last_for_ever(fake: FakeConnection) -> None:
    fake.answer("mlcr_print_kind", Reply(0, b"-", b""), Reply(0, b"d", b""))

    assert [fake.call("mlcr_print_kind", "/x").text for _ in range(3)] == ["-", "d", "d"]


def test_records_what_was_asked(fake: FakeConnection) -> None:
    fake.answer("mlcr_print_kind", Reply(0, b"", b""))

    fake.call("mlcr_print_kind", "/a b", env={"TOKEN": "x"})

    assert fake.calls == [Call("mlcr_print_kind", ("/a b",), {"TOKEN": "x"})]


def test_refuses_what_nobody_foresaw(fake: FakeConnection) -> None:
    with pytest.raises(
        UnexpectedCallError, match=r"gpu01: nobody said how to answer .*mlcr_print_kind"
    ):
        fake.call("mlcr_print_kind", "/x")


def test_refuses_what_no_host_could_be_asked(fake: FakeConnection) -> None:
    fake.answer("mlcr_print_kind", Reply(0, b"", b""))

    with pytest.raises(ValueError, match="NUL"):
        fake.call("mlcr_print_kind", "a\0b")


def test_raises_what_it_was_told_to(fake: FakeConnection) -> None:
    fake.answer("mlcr_print_kind", StateUnknownError("gpu01", "connection lost"))

    with pytest.raises(StateUnknownError):
        fake.call("mlcr_print_kind")


def test_computes_answers_from_the_arguments(fake: FakeConnection) -> None:
    fake.answer("mlcr_print_kind", lambda path: Reply(0, path.encode(), b""))

    assert fake.call("mlcr_print_kind", "/data").text == "/data"


def test_streams_both_outputs(fake: FakeConnection) -> None:
    fake.answer("mlcr_run_in", Reply(7, b"out", b"err"))
    seen: list[tuple[Stream, bytes]] = []

    code = fake.stream("mlcr_run_in", sink=lambda stream, data: seen.append((stream, data)))

    assert code == 7
    assert seen == [(Stream.STDOUT, b"out"), (Stream.STDERR, b"err")]


def test_rsync_hands_progress_over_instead_of_collecting_it(fake: FakeConnection) -> None:
    fake.answer(RSYNC, Reply(0, b"50%", b"warning"))
    progress: list[bytes] = []

    assert fake.rsync(["-a", "x/", "host:y/"], stdin=b"list") == RsyncResult(0, b"50%", b"warning")
    assert fake.rsync(["-a"], on_stdout=progress.append) == RsyncResult(0, b"", b"warning")
    assert progress == [b"50%"]
    assert fake.calls[0] == Call(RSYNC, ("-a", "x/", "host:y/"), stdin=b"list")


def test_remembers_that_it_was_closed(fake: FakeConnection) -> None:
    fake.expect_channel()
    fake.close()

    assert fake.is_closed
