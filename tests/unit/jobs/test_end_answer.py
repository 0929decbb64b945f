# SPDX-License-Identifier: Apache-2.0
"""The answer to the end of a task is separated from the task's output, whatever that contains."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.jobs import end_answer
from mlcube_remote.jobs.end_answer import EndAnswer
from mlcube_remote.transport.base import Stream
from tests.support.sent import send_folder

MARKER = "mlcr-0123456789abcdef"
ENDING = f"\0{MARKER}\0".encode()
REPORT = b"exit=0\0alive=yes\0"


@attrs.define
class Task:
    """What was passed on of a task's output."""

    stdout: bytearray = attrs.field(factory=bytearray)
    stderr: bytearray = attrs.field(factory=bytearray)

    def take(self, stream: Stream, data: bytes) -> None:
        (self.stdout if stream is Stream.STDOUT else self.stderr).extend(data)


def answer_to(task: Task) -> EndAnswer:
    return EndAnswer(host="gpu", sink=task.take, marker=MARKER)


LOGS = (
    st.lists(st.sampled_from([b"line\n", b"\0", ENDING[:7], ENDING[:-3], b"folder=1\0", b"x"]))
).map(b"".join)


@given(LOGS, st.lists(st.integers(1, 30), min_size=1))
def test_no_byte_is_lost_or_added_however_the_stream_is_cut(log: bytes, sizes: list[int]) -> None:
    task = Task()
    answer = answer_to(task)
    rest = log + ENDING + REPORT + send_folder(1, {"./a": b"\0folder=2\0"}) + ENDING
    number = 0
    while rest:
        size = sizes[number % len(sizes)]
        answer.feed(Stream.STDOUT, rest[:size])
        rest, number = rest[size:], number + 1
    answer.finish()
    assert task.stdout == log
    assert answer.facts() == {"exit": "0", "alive": "yes"}
    assert [entry.content for entry in answer.sent()[1]] == [b"\0folder=2\0"]


@given(LOGS)
def test_a_stream_without_answer_is_all_output(log: bytes) -> None:
    task = Task()
    answer = answer_to(task)
    answer.feed(Stream.STDOUT, log)
    answer.finish()
    assert task.stdout == log
    assert (answer.has_begun, answer.facts(), answer.sent()) == (False, None, {})


def test_lines_are_passed_on_at_once() -> None:
    task = Task()
    answer = answer_to(task)
    answer.feed(Stream.STDOUT, b"epoch 1\n")
    assert task.stdout == b"epoch 1\n"


def test_standard_error_that_comes_after_the_marker_is_output() -> None:
    task = Task()
    answer = answer_to(task)
    answer.feed(Stream.STDOUT, ENDING + REPORT)
    answer.feed(Stream.STDERR, b"last words\n")
    assert task.stderr == b"last words\n"


def test_half_an_answer_is_none() -> None:
    answer = answer_to(Task())
    answer.feed(Stream.STDOUT, ENDING + REPORT)
    assert answer.has_begun
    assert answer.facts() is None
    assert answer.silence() is not None


def test_an_endless_answer_is_refused() -> None:
    answer = answer_to(Task())
    answer.feed(Stream.STDOUT, ENDING)
    answer.feed(Stream.STDOUT, b"x" * 65536)
    with pytest.raises(HostUnfitError, match="more than 1 MiB"):
        answer.feed(Stream.STDOUT, b"x" * 1300 * 1024)


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_answer, "_TIMEOUT_S", -1.0)
    answer = answer_to(Task())
    with pytest.raises(StateUnknownError, match="no complete answer within"):
        answer.feed(Stream.STDOUT, ENDING + b"exit=")
    assert answer.has_begun
