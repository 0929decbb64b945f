# SPDX-License-Identifier: Apache-2.0
"""Runs as they are shown while they happen: plain lines, and live on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import threading
from collections.abc import Iterable

import pytest

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.live import LiveReporter
from mlcube_remote.ui.plain import PlainReporter
from mlcube_remote.ui.reporter import make_reporter

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def said(data: bytes, host: str = "a", **changes: object) -> Output:
    values: dict[str, object] = {
        "host": host,
        "at": 0.0,
        "stage": Stage.RUN,
        "task": "t",
        "stream": Stream.STDOUT,
        "data": data,
    }
    return Output(**(values | changes))  # type: ignore[arg-type] # by name


def ended(host: str = "a", status: Status = Status.SUCCEEDED) -> JobFinished:
    outcome = JobOutcome(host=host, platform="docker", status=status, seconds={})
    return JobFinished(host=host, at=1.0, outcome=outcome)


def stage(kind: Stage, host: str = "a", detail: str = "") -> list[Event]:
    return [
        StageStarted(host=host, at=0.0, stage=kind),
        StageFinished(host=host, at=1.0, stage=kind, seconds=1.25, detail=detail),
    ]


class Pipe(io.TextIOWrapper):
    """A stream that keeps its bytes, as standard output does when it is no terminal."""

    def __init__(self) -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding="utf-8", write_through=True)


def plain(
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
    return out.kept.getvalue(), err.kept.getvalue()


def test_one_hosts_output_passes_byte_for_byte() -> None:
    data = b"caf\xc3\xa9 \xff\x00\x1b[31m\rbar"
    out, _ = plain([said(data[:4]), said(data[4:]), ended()])
    assert out == data


def test_several_hosts_output_is_prefixed_line_by_line() -> None:
    events = [said(b"he"), said(b"x\n", "b"), said(b"llo\nrest"), ended(), ended("b")]
    out, _ = plain(events, "a", "b")
    assert out == b"b | x\na | hello\na | rest\n"


def test_stages_are_lines_on_standard_error() -> None:
    events = [
        *stage(Stage.SYNC, detail="3 files"),
        *stage(Stage.CONNECT),
        said(b"Step 1\n", stage=Stage.CONFIGURE, task=None),
        Note(host="a", at=0.0, level=Level.WARNING, text="odd\x07"),
        Note(host="a", at=0.0, level=Level.DEBUG, text="detail"),
    ]
    _, err = plain(events)
    assert err.splitlines() == [
        b"a: sync: 3 files (1.2 s)",
        b"a: connect: done (1.2 s)",
        b"Step 1",
        b"warning: a: odd\\x07",
    ]
    _, err = plain(events, verbose=True)
    assert err.endswith(b"a: detail\n")
    _, err = plain(events, quiet=True)
    assert err == b"warning: a: odd\\x07\n"


def test_jobs_of_a_sweep_are_named_with_their_hosts() -> None:
    moved = JobRetried(host="a", job="07", at=0.0, reason="not reachable")
    out, err = plain([said(b"x", job="07"), moved, said(b"y\n", "b", job="07")], "07", "08")
    assert out == b"07@a | x\n07@b | y\n", "what one host began does not run on in the other's"
    assert err == b"warning: 07@a: not reachable; to be done again\n"


def test_json_keeps_standard_output_for_its_document() -> None:
    out, err = Pipe(), Pipe()
    reporter = make_reporter(
        hosts=("a",), quiet=False, verbose=False, json=True, stdout=out, stderr=err
    )
    reporter.handle(said(b"hello\n"))
    reporter.close()
    assert out.kept.getvalue() == b""
    assert err.kept.getvalue() == b"hello\n"


def test_a_reader_that_has_gone_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        reporter = PlainReporter(
            hosts=("a", "b"), quiet=False, verbose=False, stdout=gone, stderr=io.StringIO()
        )
        reporter.handle(said(b"x\n"))
        reporter.handle(said(b"y\n"))
        reporter.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())  # closing flushes once more


def test_a_reader_of_messages_that_has_gone_does_not_end_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = Pipe()
    with os.fdopen(writer, "w") as gone:
        reporter = PlainReporter(hosts=("a",), quiet=False, verbose=False, stdout=out, stderr=gone)
        for event in [*stage(Stage.SYNC), *stage(Stage.RUN), said(b"still here")]:
            reporter.handle(event)
        reporter.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())
    assert out.kept.getvalue() == b"still here"


def test_a_stream_that_is_not_utf8_gets_escapes() -> None:
    kept = io.BytesIO()
    out = io.TextIOWrapper(kept, encoding="latin-1", write_through=True)
    reporter = PlainReporter(
        hosts=("a", "b"), quiet=False, verbose=False, stdout=out, stderr=io.StringIO()
    )
    reporter.handle(said("é €\n".encode()))
    assert kept.getvalue() == b"a | \xe9 \\u20ac\n"


class Screen:
    """A pseudo-terminal and everything that was written to it."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding=encoding)
        self._kept = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            if not data:
                return
            self._kept += data

    def text(self) -> str:
        self.stream.close()
        self._reader.join()
        os.close(self.master)
        return self._kept.decode()


def live(events: Iterable[Event], *hosts: str, encoding: str = "utf-8") -> str:
    screen = Screen(encoding)
    reporter = LiveReporter(hosts=hosts or ("a",), verbose=False, stream=screen.stream)
    for event in events:
        reporter.handle(event)
    reporter.close()
    return screen.text()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")


def test_a_terminal_shows_each_hosts_state_below_its_output() -> None:
    events = [
        *stage(Stage.CONNECT),
        *stage(Stage.CONNECT, "b"),
        StageStarted(host="b", at=0.0, stage=Stage.SYNC),
        StageProgress(host="b", at=0.0, stage=Stage.SYNC, detail="42%"),
        said(b"evil \x1b[2J line\n"),
        said(b"no end"),
        Note(host="a", at=0.0, level=Level.WARNING, text="careful"),
        Note(host="a", at=0.0, level=Level.DEBUG, text="unseen"),
        ended(),
        ended("b", Status.FAILED),
    ]
    text = live(events, "a", "b")
    assert "evil  line" in text
    assert "no end" in text
    assert "warning: a: careful" in text
    assert "unseen" not in text
    assert "succeeded" in text
    assert "failed" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text, "the cursor is back"


def test_a_terminal_shows_where_the_jobs_of_a_sweep_are() -> None:
    about: dict[str, str] = {"host": "a", "job": "07"}
    text = live(
        [
            StageStarted(**about, at=0.0, stage=Stage.CONNECT),
            JobRetried(**about, at=0.0, reason="not reachable"),
            StageStarted(host="b", job="07", at=0.0, stage=Stage.RUN, task="train"),
            said(b"epoch 1\n", "b", job="07"),
        ],
        "07",
        "08",
    )
    shown = re.sub(" +", " ", _STYLES.sub("", text))
    assert "warning: 07@a: not reachable; to be done again" in shown
    assert "07@b | epoch 1" in shown
    assert re.search(r"07@b run train \d+s", shown)
    assert "08 waiting" in shown


def test_many_hosts_are_counted() -> None:
    hosts = [f"h{index}" for index in range(30)]
    events: list[Event] = [StageStarted(host=host, at=0.0, stage=Stage.RUN) for host in hosts]
    events += [ended("h3", Status.FAILED)]
    text = _STYLES.sub("", live(events, *hosts))
    assert "1 of 30 hosts" in text
    assert "run 29" in text
    assert "  slowest h0 " in text
    assert "  failed  h3 " in text


def test_many_threads_may_report_at_once() -> None:
    hosts = [f"h{index}" for index in range(8)]
    out, err = Pipe(), Pipe()
    reporter = PlainReporter(hosts=tuple(hosts), quiet=False, verbose=False, stdout=out, stderr=err)

    def work(host: str) -> None:
        for number in range(200):
            reporter.handle(said(b"line %d of " % number, host))
            reporter.handle(said(host.encode() + b"\n", host))

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reporter.close()
    lines = out.kept.getvalue().decode().splitlines()
    assert len(lines) == 1600
    for host in hosts:
        own = [line for line in lines if line.startswith(f"{host} | ")]
        assert own == [f"{host} | line {number} of {host}" for number in range(200)]


def test_printing_and_drawing_do_not_wait_for_each_other() -> None:
    hosts = tuple(f"h{index}" for index in range(4))
    screen = Screen()
    reporter = LiveReporter(hosts=hosts, verbose=False, stream=screen.stream)
    drawing = threading.Event()

    def draw() -> None:
        # Without a pause it would have the lock again before those who wait for it wake up.
        while not drawing.wait(0.001):
            reporter._live.refresh()

    def work(host: str) -> None:
        for number in range(30):
            reporter.handle(said(b"line %d\n" % number, host))

    # Daemons: a deadlock is to fail this test, not to hang the suite.
    drawer = threading.Thread(target=draw, daemon=True)
    workers = [threading.Thread(target=work, args=(host,), daemon=True) for host in hosts]
    for thread in [drawer, *workers]:
        thread.start()
    for thread in workers:
        thread.join(30)
    stuck = [thread for thread in workers if thread.is_alive()]
    drawing.set()
    assert not stuck
    drawer.join()
    reporter.close()
    text = screen.text()
    assert all(f"{host} | " in text for host in hosts)
    assert text.count("line 29") == 4


def test_a_progress_bar_is_seen_while_it_moves() -> None:
    screen = Screen()
    reporter = LiveReporter(hosts=("a",), verbose=False, stream=screen.stream)
    reporter.handle(StageStarted(host="a", at=0.0, stage=Stage.RUN, task="t"))
    reporter.handle(said(b"epoch 1: 41%\repoch 1: 42%\r", stream=Stream.STDERR))
    reporter.handle(said(b"a line\n"))
    reporter._live.refresh()
    reporter.handle(said(b"\n", stream=Stream.STDERR))
    reporter.close()
    text = screen.text()
    assert "run t 0s  epoch 1: 42%" in _STYLES.sub("", text)
    assert "41%" not in text


def test_a_terminal_without_utf8_gets_ascii() -> None:
    many = [*stage(Stage.CONNECT)] * 30
    text = live(
        [*many, *stage(Stage.CONNECT, "b"), ended(), ended("b", Status.FAILED)],
        "a",
        "b",
        encoding="ascii",
    )
    assert text.isascii()
    assert "+ a succeeded" in _STYLES.sub("", text)


def test_lines_do_not_wrap_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    text = live([*[*stage(Stage.CONNECT)] * 30, ended()])
    drawn = re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", text)
    assert any("succeeded" in line for line in drawn)
    assert all(len(line) <= 40 for line in drawn)


def test_what_a_host_does_now_is_seen_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    before = [*stage(Stage.CONNECT), *stage(Stage.SYNC), *stage(Stage.CONFIGURE)]
    events = [*before, StageStarted(host="a", at=0.0, stage=Stage.RUN, task="prepare_data")]
    text = _STYLES.sub("", live(events))
    assert "a sync 1.2s  configure 1.2s  run prepare_data 0s" in text
    text = _STYLES.sub("", live([*events, said(b"epoch 1: " + b"=" * 80)]))
    assert "a run prepare_data 0s  epoch 1: ===" in text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    reporter = make_reporter(
        hosts=("a",), quiet=False, verbose=False, json=False,
        stdout=screen.stream, stderr=screen.stream,
    )  # fmt: skip
    assert isinstance(reporter, PlainReporter)
    reporter.close()
    screen.text()


def test_a_terminal_gets_the_live_view() -> None:
    screen = Screen()
    reporter = make_reporter(
        hosts=("a",), quiet=False, verbose=False, json=False,
        stdout=screen.stream, stderr=screen.stream,
    )  # fmt: skip
    assert isinstance(reporter, LiveReporter)
    reporter.close()
    screen.text()
