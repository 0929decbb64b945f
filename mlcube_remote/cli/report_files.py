# SPDX-License-Identifier: Apache-2.0
"""Files that a command writes about its jobs: ``--events``, ``--junit`` and ``--report``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.events.model import EventSink
from mlcube_remote.events.outcome import JobOutcome

if TYPE_CHECKING:  # most commands write none
    from mlcube_remote.ui.files.event_log import EventLog
    from mlcube_remote.ui.files.junit import OutputTails
    from mlcube_remote.ui.report.live import LiveReport


@attrs.define(kw_only=True)
class ReportFiles:
    """The files of one command."""

    run_id: str
    events: EventLog | None = None
    junit: Path | None = None
    tails: OutputTails | None = None
    report: LiveReport | None = None

    @property
    def sinks(self) -> list[EventSink]:
        """The consumers of events."""
        return [each.handle for each in (self.events, self.tails, self.report) if each is not None]

    def finish(self, outcomes: Sequence[JobOutcome], seconds: float) -> None:
        """Write what is known only at the end.

        Args:
            outcomes: The outcomes of all jobs.
            seconds: Duration of the run.
        """
        if self.events is not None:
            self.events.write_end(outcomes, seconds)
        if self.junit is not None and self.tails is not None:
            from mlcube_remote.ui.files.junit import write_junit  # noqa: PLC0415 - only if asked for

            try:
                write_junit(self.junit, self.run_id, outcomes, self.tails)
            except OSError as problem:
                _warn("--junit", self.junit, problem)


@contextlib.contextmanager
def open_report_files(run_id: str, display: Display, jobs: Sequence[str]) -> Iterator[ReportFiles]:
    """Open the files that the options name, during the block.

    Args:
        run_id: The run.
        display: The options that name the files.
        jobs: Names of its jobs.

    Raises:
        click.UsageError: A file cannot be written.
    """
    files = ReportFiles(run_id=run_id)
    with contextlib.ExitStack() as stack:
        if display.events is not None:
            from mlcube_remote.ui.files.event_log import EventLog  # noqa: PLC0415 - only if asked for

            try:
                file = stack.enter_context(Path(display.events).open("w", encoding="ascii"))
            except OSError as problem:
                raise click.UsageError(
                    f"--events {display.events}: {problem.strerror}"
                ) from problem
            files.events = EventLog(run_id=run_id, file=file)
            files.events.write_start(jobs)
        if display.junit is not None:
            from mlcube_remote.ui.files.junit import OutputTails  # noqa: PLC0415 - only if asked for

            files.junit, files.tails = Path(display.junit), OutputTails()
        if display.report is not None:
            from mlcube_remote.ui.report.live import LiveReport, live_report  # noqa: PLC0415

            report = LiveReport(path=Path(display.report), run_id=run_id, jobs=jobs)
            files.report = stack.enter_context(live_report(report))
        yield files
    if files.report is not None and files.report.problem is not None:
        _warn("--report", display.report, files.report.problem)
    if files.events is not None and files.events.problem is not None:
        _warn("--events", display.events, files.events.problem)


def _warn(option: str, path: object, problem: OSError) -> None:
    print_warning(f"{option} {path} is incomplete: {problem.strerror}")
