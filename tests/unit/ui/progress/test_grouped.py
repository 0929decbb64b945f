# SPDX-License-Identifier: Apache-2.0
"""``--gather`` groups identical output of several jobs."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from typing import Any

import pytest

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Output,
    Stage,
    StageFinished,
)
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress import grouped
from mlcube_remote.ui.progress.reporter import make_reporter


def outcome(host: str, status: Status = Status.SUCCEEDED, **changes: Any) -> JobOutcome:
    values: dict[str, Any] = {
        "tasks": (TaskOutcome(task="train", status=status, exit_code=3),),
        "seconds": {"run": 2.0},
    }
    return JobOutcome(host=host, platform="docker", status=status, **(values | changes))


def output(host: str, data: bytes, task: str = "t", stream: Stream = Stream.STDOUT) -> Output:
    return Output(host=host, at=0.0, stage=Stage.RUN, task=task, stream=stream, data=data)


def task_finished(host: str, task: str = "t") -> StageFinished:
    return StageFinished(host=host, at=0.0, stage=Stage.RUN, task=task, seconds=1.0)


def job_finished(host: str) -> JobFinished:
    return JobFinished(host=host, at=0.0, outcome=outcome(host))


def report(events: Iterable[Event], *hosts: str) -> tuple[list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    reporter = make_reporter(
        hosts=hosts, quiet=True, verbose=False, json=False, gather=True, stdout=out, stderr=err
    )
    for event in events:
        reporter.handle(event)
    reporter.close()
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def test_identical_output_is_printed_once_and_first() -> None:
    hosts = [f"h{n:02}" for n in range(10)]
    events: list[Event] = [output(host, b"hel") for host in hosts if host != "h03"]
    events += [output(host, b"lo\nrest") for host in hosts if host != "h03"]
    events += [output("h03", b"\x1b[31modd\x07\n"), *(task_finished(host) for host in hosts)]
    out, err = report(events, *hosts)
    assert out == ["h[00-02,04-09] (9): t", "  hello", "  rest", "h03: t", "  odd\\x07"]
    assert err == []


def test_output_is_printed_when_the_last_host_has_finished_the_task() -> None:
    out = io.StringIO()
    reporter = make_reporter(
        hosts=("a", "b", "c"),
        quiet=True,
        verbose=False,
        json=False,
        gather=True,
        stdout=out,
        stderr=out,
    )
    for host in "abc":
        reporter.handle(output(host, b"one\n", "first"))
    for event in (
        task_finished("a", "first"),
        output("a", b"two\n", "second"),
        task_finished("b", "first"),
    ):
        reporter.handle(event)
    assert out.getvalue() == ""
    reporter.handle(job_finished("c"))
    assert out.getvalue() == "a,b,c (3): first\n  one\n", (
        "a finished job has finished all its tasks"
    )
    reporter.close()
    assert out.getvalue().endswith("a: second\n  two\n"), "close() prints the rest"


def test_hosts_without_output_are_named_if_others_have_some() -> None:
    out, _ = report(
        [
            output("a", b"x\n"),
            task_finished("a"),
            task_finished("b"),
            job_finished("a"),
            job_finished("b"),
        ],
        "a",
        "b",
    )
    assert out == ["a: t", "  x", "b: t: no output"]


def test_each_stream_is_compared_separately() -> None:
    events: list[Event] = [output(host, b"same\n") for host in "ab"]
    events += [output(host, host.encode() + b"\n", stream=Stream.STDERR) for host in "ab"]
    out, err = report([*events, job_finished("a"), job_finished("b")], "a", "b")
    assert out == ["a,b (2): t", "  same"]
    assert err == ["a: t", "  a", "b: t", "  b"]


def test_only_the_last_attempt_of_a_retried_job_is_printed() -> None:
    moved = JobRetried(host="h1", job="01", at=0.0, reason="lost")
    first = Output(
        host="h1", job="01", at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT, data=b"x\n"
    )
    again = Output(
        host="h2", job="01", at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT, data=b"y\n"
    )
    done = JobFinished(host="h2", job="01", at=0.0, outcome=outcome("h2", job="01"))
    out, err = report([first, moved, again, done], "01", "02")
    assert out == ["01@h2: t", "  y"]
    assert err == ["warning: 01@h1: lost; will be retried"]


class Full:
    """A temporary file on a disk that is full."""

    def __init__(self, _limit: int) -> None:
        self.data = io.BytesIO()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def write(self, data: bytes) -> int:
        if self.data.tell():
            raise OSError(28, "No space left on device")
        return self.data.write(data)


def test_a_full_disk_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    out, _ = report(
        [output("a", b"one\n"), output("a", b"two\n"), job_finished("a"), job_finished("b")],
        "a",
        "b",
    )
    assert out == ["a: t", "  one", "  (the rest could not be stored: No space left on device)"]


def test_long_output_goes_to_a_file() -> None:
    events = [output(host, b"x" * grouped.MAX_IN_MEMORY + b"\n") for host in "ab"] * 20
    out, _ = report([*events, job_finished("a"), job_finished("b")], "a", "b")
    assert out[0] == "a,b (2): t"
    assert len(out) == 21
