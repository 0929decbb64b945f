# SPDX-License-Identifier: Apache-2.0
"""A run as plain lines, for pipes, files and CI."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable

import pytest

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Stage,
    StageProgress,
    StageStarted,
)
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress import plain
from mlcube_remote.ui.progress.plain import PlainReporter
from mlcube_remote.ui.progress.reporter import make_reporter
from tests.support.outcomes import job_finished, output, stage_events


class Pipe(io.TextIOWrapper):
    """A stream that stores its bytes, like a standard output that is not a terminal."""

    def __init__(self) -> None:
        self.data = io.BytesIO()
        super().__init__(self.data, encoding="utf-8", write_through=True)


def report(
    events: Iterable[Event], *hosts: str, quiet: bool = False, verbose: bool = False
) -> tuple[bytes, bytes]:
    out, err = Pipe(), Pipe()
    reporter = make_reporter(
        hosts=hosts or ("a",), quiet=quiet, verbose=verbose, json=False, stdout=out, stderr=err
    )
    assert isinstance(reporter, PlainReporter)
    for event in events:
        reporter.handle(event)
    reporter.close()
    return out.data.getvalue(), err.data.getvalue()


def test_output_of_one_host_is_passed_on_unchanged() -> None:
    data = b"caf\xc3\xa9 \xff\x00\x1b[31m\rbar"
    out, _ = report([output(data[:4]), output(data[4:]), job_finished()])
    assert out == data


def test_lines_of_several_hosts_have_a_prefix() -> None:
    events = [
        output(b"he"),
        output(b"x\n", "b"),
        output(b"llo\nrest"),
        job_finished(),
        job_finished("b"),
    ]
    out, _ = report(events, "a", "b")
    assert out == b"b | x\na | hello\na | rest\n"


def test_stages_are_lines_on_standard_error() -> None:
    events = [
        *stage_events(Stage.SYNC, detail="3 files"),
        *stage_events(Stage.CONNECT),
        output(b"Step 1\n", stage=Stage.CONFIGURE, task=None),
        Note(host="a", at=0.0, level=Level.WARNING, text="odd\x07"),
        Note(host="a", at=0.0, level=Level.DEBUG, text="detail"),
    ]
    _, err = report(events)
    assert err.splitlines() == [
        b"a: sync: 3 files (1.2 s)",
        b"a: connect: done (1.2 s)",
        b"Step 1",
        b"warning: a: odd\\x07",
    ]
    _, err = report(events, verbose=True)
    assert err.endswith(b"a: detail\n")
    _, err = report(events, quiet=True)
    assert err == b"warning: a: odd\\x07\n"


def test_jobs_of_a_sweep_are_printed_with_their_hosts() -> None:
    moved = JobRetried(host="a", job="07", at=0.0, reason="not reachable")
    out, err = report([output(b"x", job="07"), moved, output(b"y\n", "b", job="07")], "07", "08")
    assert out == b"07@a | x\n07@b | y\n", "a line of one host does not continue on the next"
    assert err == b"warning: 07@a: not reachable; will be retried\n"


def test_a_lost_connection_is_one_line_and_its_replacement_another() -> None:
    lost = ConnectionLost(host="a", at=0.0, reason="cut \x1b[2J\n", retry_in=0.5)
    events = [lost, lost, lost, ConnectionRestored(host="a", at=9.0, seconds=9.2), lost]
    assert report(events)[1].splitlines() == [
        b"warning: a: cut \\n; reconnecting",
        b"a: connected again after 9 s",
        b"warning: a: cut \\n; reconnecting",
    ]
    assert report(events, quiet=True)[1].count(b"\n") == 2


def test_a_queued_job_is_one_line_for_each_reason() -> None:
    events = [JobQueued(host="a", at=0.0, reason=text) for text in ("Priority", "\x1b[2JResources")]
    assert report(events)[1].splitlines() == [
        b"a: queued by Slurm: Priority",
        b"a: queued by Slurm: Resources",
    ]
    assert report(events, quiet=True)[1] == b""


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_long_transfers_and_sweeps_get_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(plain, "time", clock)
    out, err = Pipe(), Pipe()
    jobs = tuple("abcd")
    reporter = PlainReporter(jobs=jobs, quiet=False, verbose=False, stdout=out, stderr=err)
    for host in "abc":
        reporter.handle(StageStarted(host=host, at=0.0, stage=Stage.SYNC))
    for second in range(1, 31):
        clock.now = float(second)
        detail = f"{second} B \x1b[2J\n"
        for stage in (Stage.SYNC, Stage.CONFIGURE):
            reporter.handle(StageProgress(host="a", at=0.0, stage=stage, detail=detail))
        if second in {12, 15, 25}:
            host = {12: "a", 15: "b", 25: "c"}[second]
            reporter.handle(job_finished(host))
    reporter.handle(job_finished("d"))
    assert err.data.getvalue().decode().splitlines() == [
        "a: sync: 10 B \\n",
        "1 of 4 done, 2 running, 1 waiting, about 6s left",
        "a: sync: 20 B \\n",
        "3 of 4 done, 1 waiting, about 17s left",
        "a: sync: 30 B \\n",
    ]
    assert out.data.getvalue() == b""


def test_a_progress_bar_of_several_jobs_gets_a_line_each_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(plain, "time", clock)
    out, err = Pipe(), Pipe()
    reporter = PlainReporter(jobs=("a", "b"), quiet=True, verbose=False, stdout=out, stderr=err)

    def report(host: str, data: bytes) -> None:
        reporter.handle(output(data, host, Stream.STDERR))

    for second in range(131):
        clock.now = float(second)
        report("a", b"\r%3d%%|#" % second)
        if second in {0, 70}:
            report("b", b"one, ")
    report("a", b"\rdone\n")
    reporter.close()
    assert err.data.getvalue().decode().splitlines() == [
        "a |  60%|#",
        "a | 120%|#",
        "a | done",
        "b | one, one, ",
    ]


def test_json_keeps_standard_output_free() -> None:
    out, err = Pipe(), Pipe()
    reporter = make_reporter(
        hosts=("a",), quiet=False, verbose=False, json=True, stdout=out, stderr=err
    )
    reporter.handle(output(b"hello\n"))
    reporter.close()
    assert out.data.getvalue() == b""
    assert err.data.getvalue() == b"hello\n"


def test_a_closed_standard_output_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        reporter = PlainReporter(
            jobs=("a", "b"), quiet=False, verbose=False, stdout=gone, stderr=io.StringIO()
        )
        reporter.handle(output(b"x\n"))
        reporter.handle(output(b"y\n"))
        reporter.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())  # closing flushes once more


def test_a_closed_standard_error_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = Pipe()
    with os.fdopen(writer, "w") as gone:
        reporter = PlainReporter(jobs=("a",), quiet=False, verbose=False, stdout=out, stderr=gone)
        for event in [*stage_events(Stage.SYNC), *stage_events(Stage.RUN), output(b"still here")]:
            reporter.handle(event)
        reporter.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())
    assert out.data.getvalue() == b"still here"


def test_a_stream_that_is_not_utf8_gets_escapes() -> None:
    data = io.BytesIO()
    out = io.TextIOWrapper(data, encoding="latin-1", write_through=True)
    reporter = PlainReporter(
        jobs=("a", "b"), quiet=False, verbose=False, stdout=out, stderr=io.StringIO()
    )
    reporter.handle(output("é €\n".encode()))
    assert data.getvalue() == b"a | \xe9 \\u20ac\n"


def test_many_threads_can_report_at_once() -> None:
    hosts = [f"h{index}" for index in range(8)]
    out, err = Pipe(), Pipe()
    reporter = PlainReporter(jobs=tuple(hosts), quiet=False, verbose=False, stdout=out, stderr=err)

    def work(host: str) -> None:
        for number in range(200):
            reporter.handle(output(b"line %d of " % number, host))
            reporter.handle(output(host.encode() + b"\n", host))

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reporter.close()
    lines = out.data.getvalue().decode().splitlines()
    assert len(lines) == 1600
    for host in hosts:
        own = [line for line in lines if line.startswith(f"{host} | ")]
        assert own == [f"{host} | line {number} of {host}" for number in range(200)]
