# SPDX-License-Identifier: Apache-2.0
"""A run on a terminal: a line per job, the output above."""

from __future__ import annotations

import os
import pty
import re
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobRetried,
    Level,
    Note,
    Stage,
    StageProgress,
    StageStarted,
    TrialStarted,
)
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress import live
from mlcube_remote.ui.progress.live import LiveReporter
from mlcube_remote.ui.progress.plain import PlainReporter
from mlcube_remote.ui.progress.reporter import make_reporter
from tests.support.outcomes import job_finished, output, stage_events
from tests.support.terminal import lines_on_screen

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


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


def report(events: Iterable[Event], *hosts: str, encoding: str = "utf-8") -> str:
    screen = Screen(encoding)
    reporter = LiveReporter(jobs=hosts or ("a",), verbose=False, stream=screen.stream)
    for event in events:
        reporter.handle(event)
    reporter.close()
    return screen.text()


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")


def test_the_state_of_each_host_is_shown_below_its_output() -> None:
    events = [
        *stage_events(Stage.CONNECT),
        *stage_events(Stage.CONNECT, "b"),
        StageStarted(host="b", at=0.0, stage=Stage.SYNC),
        StageProgress(host="b", at=0.0, stage=Stage.SYNC, detail="42%"),
        output(b"evil \x1b[2J line\n"),
        output(b"no end"),
        Note(host="a", at=0.0, level=Level.WARNING, text="careful"),
        Note(host="a", at=0.0, level=Level.DEBUG, text="unseen"),
        job_finished(),
        job_finished("b", Status.FAILED),
    ]
    text = report(events, "a", "b")
    assert "evil  line" in text
    assert "no end" in text
    assert "warning: a: careful" in text
    assert "unseen" not in text
    assert "succeeded" in text
    assert "failed" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text, "the cursor is back"


def test_the_host_of_each_job_of_a_sweep_is_shown() -> None:
    about: dict[str, str] = {"host": "a", "job": "07"}
    text = report(
        [
            StageStarted(**about, at=0.0, stage=Stage.CONNECT),
            JobRetried(**about, at=0.0, reason="not reachable"),
            StageStarted(host="b", job="07", at=0.0, stage=Stage.RUN, task="train"),
            output(b"epoch 1\n", "b", job="07"),
        ],
        "07",
        "08",
    )
    shown = re.sub(" +", " ", _STYLES.sub("", text))
    assert "warning: 07@a: not reachable; will be retried" in shown
    assert "07@b | epoch 1" in shown
    assert re.search(r"07@b run train \d+s", shown)
    assert "08 waiting" in shown


def trial(number: int, host: str = "gpu01") -> list[Event]:
    about: dict[str, str] = {"host": host, "job": f"{number:02}"}
    parameters = {"lr": f"0.{number}", "optimiser": "momentum" * 9}
    return [
        TrialStarted(**about, at=0.0, parameters=parameters),
        StageStarted(**about, at=0.0, stage=Stage.RUN, task="train"),
    ]


def lines_of(screen: str) -> list[str]:
    """Return what was drawn, line by line, also what was drawn over."""
    return re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", _STYLES.sub("", screen))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("colour", [True, False])
def test_trials_have_parameters_and_a_total(
    monkeypatch: pytest.MonkeyPatch, columns: int, colour: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    about: dict[str, str] = {"host": "gpu01", "job": "07"}
    pulled = "1.2 GB of 3.4 GB, 33.1 MB/s, 1m 5s left"
    lost = ConnectionLost(**about, at=0.0, reason="no \x1b[2Jroute\n" + "x" * 900, retry_in=18.0)
    pull = [
        StageStarted(host="gpu02", job="08", at=0.0, stage=Stage.PULL),
        StageProgress(host="gpu02", job="08", at=0.0, stage=Stage.PULL, detail=pulled),
    ]
    text = report([*trial(7), *trial(8, "gpu02"), *pull, lost], "07", "08", "09")
    drawn = lines_of(text)
    assert all(len(line) <= columns for line in drawn)
    assert any(re.search(r"07@gpu01 lr=0\.7 optimiser=.*…", line) for line in drawn)
    assert any("run train 0s  no connection, retry in 18s (" in line for line in drawn)
    assert any(line.rstrip().endswith(pulled) for line in drawn)
    assert any(re.search(r"^0 of 3 jobs ─+  2 running, 1 waiting *$", line) for line in drawn)
    assert ("\x1b[36m" in text) is colour


def test_a_lost_connection_is_a_state_and_no_line_that_scrolls_away() -> None:
    screen = Screen()
    reporter = LiveReporter(jobs=("a",), verbose=False, stream=screen.stream)
    reporter.handle(StageStarted(host="a", at=0.0, stage=Stage.RUN, task="t"))
    reporter.handle(ConnectionLost(host="a", at=0.0, reason="connection lost", retry_in=0.0))
    reporter._live.refresh()
    reporter.handle(ConnectionLost(host="a", at=0.0, reason="refused", retry_in=30.0))
    reporter._live.refresh()
    reporter.handle(ConnectionRestored(host="a", at=0.0, seconds=40.0))
    reporter.close()
    drawn = lines_of(screen.text())
    assert any("run t 0s  no connection, connecting again (connection lost)" in d for d in drawn)
    assert any("no connection, retry in 30s (refused)" in line for line in drawn)
    assert not any("warning" in line for line in drawn)
    assert re.search(r"run t \d+s *$", drawn[-3] + drawn[-2] + drawn[-1])


def test_lines_that_come_fast_are_printed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    reporter = LiveReporter(jobs=("a", "b"), verbose=False, stream=screen.stream)
    prints: list[object] = []
    inner = reporter._console.print

    def count(*words: object, **how: Any) -> None:
        prints.append(words)
        inner(*words, **how)

    monkeypatch.setattr(reporter._console, "print", count)
    monkeypatch.setattr(live, "_PRINT_INTERVAL_S", 3600.0)
    for number in range(5000):
        reporter.handle(output(b"line %d\n" % number))
    reporter.handle(Note(host="b", at=0.0, level=Level.INFO, text="after that"))
    reporter.close()
    assert len(prints) <= 20
    shown = [line for line in lines_of(screen.text()) if "line" in line or "after" in line]
    assert shown == [*(f"a | line {number}" for number in range(5000)), "b: after that"]


def test_many_hosts_are_summarised() -> None:
    hosts = [f"h{index}" for index in range(30)]
    events: list[Event] = [StageStarted(host=host, at=0.0, stage=Stage.RUN) for host in hosts]
    events += [job_finished("h3", Status.FAILED)]
    text = _STYLES.sub("", report(events, *hosts))
    assert "1 of 30 hosts" in text
    assert "run 29" in text
    assert "  slowest h0 " in text
    assert "  failed  h3 " in text


@pytest.mark.parametrize("jobs", [("a",), ("a", "b", "c")])
def test_a_question_and_its_answer_stay_on_the_screen(jobs: tuple[str, ...]) -> None:
    screen = Screen()
    reporter = LiveReporter(jobs=jobs, verbose=False, stream=screen.stream)
    for job in jobs:
        reporter.handle(StageStarted(host=job, at=0.0, stage=Stage.RUN))
    reporter._live.refresh()
    screen.stream.write("^C")  # what the terminal shows of the key
    screen.stream.flush()
    with reporter.paused():
        print("\nfirst\nquestion? d\ndetaching", file=screen.stream, flush=True)
    reporter.handle(output(b"line\n", jobs[0]))
    reporter.close()
    shown = lines_on_screen(screen.text(), 100)
    at = shown.index("first")
    assert shown[at : at + 3] == ["first", "question? d", "detaching"]
    assert len([line for line in shown[:at] if " a " in line]) == 1, "each job once"
    assert any("line" in line for line in shown[at + 3 :])


def test_printing_and_drawing_do_not_deadlock() -> None:
    hosts = tuple(f"h{index}" for index in range(4))
    screen = Screen()
    reporter = LiveReporter(jobs=hosts, verbose=False, stream=screen.stream)
    drawing = threading.Event()

    def draw() -> None:
        # Without a pause this thread would take the lock again before the waiting threads wake up.
        while not drawing.wait(0.001):
            reporter._live.refresh()

    def work(host: str) -> None:
        for number in range(30):
            reporter.handle(output(b"line %d\n" % number, host))

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


def test_a_progress_bar_is_shown_while_it_moves() -> None:
    screen = Screen()
    reporter = LiveReporter(jobs=("a",), verbose=False, stream=screen.stream)
    reporter.handle(StageStarted(host="a", at=0.0, stage=Stage.RUN, task="t"))
    reporter.handle(output(b"epoch 1: 41%\repoch 1: 42%\r", stream=Stream.STDERR))
    reporter.handle(output(b"a line\n"))
    reporter._live.refresh()
    reporter.handle(output(b"\n", stream=Stream.STDERR))
    reporter.close()
    text = screen.text()
    assert "run t 0s  epoch 1: 42%" in _STYLES.sub("", text)
    assert "41%" not in text


def test_a_terminal_without_utf8_gets_ascii() -> None:
    many = [*stage_events(Stage.CONNECT)] * 30
    text = report(
        [
            *many,
            *stage_events(Stage.CONNECT, "b"),
            job_finished(),
            job_finished("b", Status.FAILED),
        ],
        "a",
        "b",
        encoding="ascii",
    )
    assert text.isascii()
    assert "+ a succeeded" in _STYLES.sub("", text)


def test_lines_do_not_wrap_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    text = report([*[*stage_events(Stage.CONNECT)] * 30, job_finished()])
    drawn = re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", text)
    assert any("succeeded" in line for line in drawn)
    assert all(len(line) <= 40 for line in drawn)


def test_a_narrow_terminal_shows_the_current_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    before = [
        *stage_events(Stage.CONNECT),
        *stage_events(Stage.SYNC),
        *stage_events(Stage.CONFIGURE),
    ]
    events = [*before, StageStarted(host="a", at=0.0, stage=Stage.RUN, task="prepare_data")]
    text = _STYLES.sub("", report(events))
    assert "a sync 1.2s  configure 1.2s  run prepare_data 0s" in text
    text = _STYLES.sub("", report([*events, output(b"epoch 1: " + b"=" * 80)]))
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
