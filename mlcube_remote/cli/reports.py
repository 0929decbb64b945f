# SPDX-License-Identifier: Apache-2.0
"""What a command writes for programs while it works: ``--events`` and ``--junit``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from mlcube_remote.dispatch.events import EventSink
from mlcube_remote.dispatch.outcome import JobOutcome

if TYPE_CHECKING:  # most commands write neither
    from mlcube_remote.ui.files.event_log import EventLog
    from mlcube_remote.ui.files.junit import OutputTails


@attrs.define(kw_only=True)
class Reports:
    """The files that a command was asked for."""

    run_id: str
    events: EventLog | None = None
    junit: Path | None = None
    tails: OutputTails | None = None

    @property
    def sinks(self) -> list[EventSink]:
        """Who is to be told of events."""
        return [each.handle for each in (self.events, self.tails) if each is not None]

    def finish(self, outcomes: Sequence[JobOutcome], at: float) -> None:
        """Write what can be said only at the end.

        Args:
            outcomes: How all jobs ended.
            at: Seconds since the run began.
        """
        if self.events is not None:
            self.events.write_end(outcomes, at)
        if self.junit is not None and self.tails is not None:
            from mlcube_remote.ui.files.junit import write_junit  # noqa: PLC0415

            try:
                write_junit(self.junit, self.run_id, outcomes, self.tails)
            except OSError as problem:
                _warn("--junit", self.junit, problem)


@contextlib.contextmanager
def reports(run_id: str, given: Mapping[str, Any], jobs: Sequence[str]) -> Iterator[Reports]:
    """Open the files that the options name, for as long as the block lasts.

    Args:
        run_id: The run.
        given: The command's options.
        jobs: What its jobs are called.

    Raises:
        click.UsageError: One cannot be written.
    """
    asked = Reports(run_id=run_id)
    with contextlib.ExitStack() as stack:
        if path := given.get("events"):
            from mlcube_remote.ui.files.event_log import EventLog  # noqa: PLC0415

            try:
                file = stack.enter_context(Path(path).open("w", encoding="ascii"))
            except OSError as problem:
                raise click.UsageError(f"--events {path}: {problem.strerror}") from problem
            asked.events = EventLog(run_id=run_id, file=file)
            asked.events.write_start(jobs)
        if path := given.get("junit"):
            from mlcube_remote.ui.files.junit import OutputTails  # noqa: PLC0415

            asked.junit, asked.tails = Path(path), OutputTails()
        yield asked
        if asked.events is not None and asked.events.problem is not None:
            _warn("--events", given["events"], asked.events.problem)


def _warn(option: str, path: object, problem: OSError) -> None:
    click.echo(f"warning: {option} {path}: not whole: {problem.strerror}", err=True)
