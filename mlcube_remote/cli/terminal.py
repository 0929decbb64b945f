# SPDX-License-Identifier: Apache-2.0
"""Show jobs on the terminal, and let the user interrupt them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from types import FrameType

import attrs

from mlcube_remote.app.observer import Observe
from mlcube_remote.cli.option_groups import Display, InterruptAction
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.questions import current_terminal
from mlcube_remote.cli.report_files import ReportFiles, open_report_files
from mlcube_remote.cli.standard_streams import LOST_OUTPUT, leave_with_reader
from mlcube_remote.events.model import Event
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.scheduling.fanout import Hangup, OnInterrupt
from mlcube_remote.ui.progress.base import Reporter
from mlcube_remote.ui.progress.interrupt import ask_to_stop
from mlcube_remote.ui.progress.reporter import make_reporter
from mlcube_remote.ui.terminal import has_terminal, terminal_streams


@attrs.frozen(kw_only=True)
class TerminalObserver:
    """Passes events to the display and to report files, and asks the user on Ctrl-C."""

    run_id: str
    reporter: Reporter
    files: ReportFiles
    on_interrupt: InterruptAction
    warnings: list[str] = attrs.field(factory=list)
    """To print when the display is closed."""

    def handle(self, event: Event) -> None:
        """Show an event, and write it to the report files."""
        self.reporter.handle(event)
        for sink in self.files.sinks:
            sink(event)

    def decide(self) -> OnInterrupt:
        """Return what an interrupt does; ask if that was chosen and there is a terminal."""
        if self.on_interrupt != "ask":
            return OnInterrupt(self.on_interrupt)
        is_direct = sys.stdin.isatty() and sys.stderr.isatty()
        if not is_direct and not has_terminal():
            return OnInterrupt.STOP
        try:
            with self.reporter.paused():
                if is_direct:
                    return _answer(ask_to_stop(sys.stdin, sys.stderr))
                # Of `2>&1 | tee FILE`, the same Ctrl-C has ended the reader.
                with terminal_streams() as (answers, screen):
                    decision = _answer(ask_to_stop(answers, screen))
                    if decision is OnInterrupt.DETACH and not sys.stderr.isatty():
                        print(f"  follow it:  mlcube-remote attach {self.run_id}", file=screen)
                    return decision
        except OSError:  # the terminal is gone
            return OnInterrupt.DETACH

    def finish(self, outcomes: Sequence[JobOutcome], seconds: float) -> None:
        """Complete the report files."""
        self.files.finish(outcomes, seconds)

    def warn(self, text: str) -> None:
        """Keep a warning until the display is closed."""
        self.warnings.append(text)


def on_terminal(display: Display) -> Observe:
    """Return an observer that shows jobs on the terminal, and handles signals."""

    @contextlib.contextmanager
    def observe(run_id: str, jobs: Sequence[str]) -> Iterator[TerminalObserver]:
        open_reporter = partial(
            make_reporter,
            hosts=jobs,
            quiet=display.quiet,
            verbose=display.verbose,
            json=display.as_json,
            gather=display.gather,
            ordered=display.ordered,
            on_lost=LOST_OUTPUT.append,
            on_gone=leave_with_reader if display.only_prints else lambda: None,
        )
        warnings: list[str] = []
        with open_report_files(run_id, display, jobs) as files:
            try:
                with current_terminal().display(open_reporter) as reporter, _detach_on_signals():
                    yield TerminalObserver(
                        run_id=run_id,
                        reporter=reporter,
                        files=files,
                        on_interrupt=display.on_interrupt,
                        warnings=warnings,
                    )
            finally:
                for text in warnings:
                    print_warning(text)

    return observe


def _answer(stops: bool) -> OnInterrupt:
    return OnInterrupt.STOP if stops else OnInterrupt.DETACH


@contextlib.contextmanager
def _detach_on_signals() -> Iterator[None]:
    """Let SIGHUP and SIGTERM end this command, but not the jobs."""

    def hang_up(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            # The terminal is gone: later output must not fail because of it.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise Hangup

    numbers = (signal.SIGHUP, signal.SIGTERM)
    # A process that ignores the signal on purpose (nohup) must keep ignoring it.
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hang_up) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
