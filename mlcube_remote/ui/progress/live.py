# SPDX-License-Identifier: Apache-2.0
"""Show a run on a terminal: one line per job at the bottom, the tasks' output scrolls above."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TextIO

import attrs
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
)
from mlcube_remote.events.outcome import OPEN
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.host_ranges import MANY
from mlcube_remote.ui.progress.base import OutputLines, note_line, retry_line
from mlcube_remote.ui.progress.job_row import MAX_LABEL, JobRow, apply_event, label_width
from mlcube_remote.ui.progress.overview import render_overview
from mlcube_remote.ui.text import one_line, sanitise

_REFRESHES_PER_S = 8
"""Enough for a smooth spinner, and cheap for a laptop."""

_MAX_DETAIL = 400
"""Characters of an unfinished line that are kept: more than a terminal has columns."""

_BLOCK_LINES = 1000
"""Lines of a block that are printed together: each print redraws the display."""

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


@attrs.define(kw_only=True)
class LiveReporter:
    """See :class:`mlcube_remote.ui.progress.base.Reporter`.

    Rich holds its own lock while it draws and while it prints. ``_lock`` is held while printing, so
    drawing must never take it: both threads would wait for each other for ever.
    """

    jobs: tuple[str, ...]
    verbose: bool
    stream: TextIO
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _rows: dict[str, JobRow] = attrs.field(init=False)
    _output_lines: OutputLines = attrs.field(factory=OutputLines, init=False)
    _console: Console = attrs.field(init=False)
    _live: Live = attrs.field(init=False)
    _spinner: Spinner = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = {job: JobRow(job) for job in self.jobs}
        self._console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
        self._spinner = Spinner("dots" if self._is_unicode else "line")
        self._live = Live(
            console=self._console,
            refresh_per_second=_REFRESHES_PER_S,
            get_renderable=self._render,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Print unfinished lines and restore the terminal."""
        with self._lock:
            self._print_unfinished(None)
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing until the block ends; threads that report an event wait for it."""
        with self._lock:
            self._live.stop()
            try:
                yield
            finally:
                self._live.start()

    def handle(self, event: Event) -> None:
        """Show an event; may be called from many threads."""
        with self._lock:
            if isinstance(event, Output):
                self._print_output(event)
                return
            if isinstance(event, (StageFinished, JobFinished, JobRetried)):
                self._print_unfinished(event.label)
            if isinstance(event, Note):  # possibly about a host that has no row
                self._print_note(event)
                return
            self._rows[event.name] = apply_event(self._rows[event.name], event, time.monotonic())
            if isinstance(event, JobRetried):
                self._print_message(retry_line(event), "yellow")

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:  # noqa: ARG002
        """Print lines that belong together, below a title; both streams go to the terminal."""
        with self._lock:
            self._print_message(title, "bold")
            while chunk := list(islice(lines, _BLOCK_LINES)):
                text = "\n".join(f"  {sanitise(line)}" for line in chunk)
                self._console.print(Text(text), soft_wrap=True)

    def _print_output(self, event: Output) -> None:
        lines = self._output_lines.feed(event)
        self._print_lines(event.label, lines, dim=event.stage is not Stage.RUN)
        detail = self._output_lines.unfinished(event)[:_MAX_DETAIL]
        self._rows[event.name] = attrs.evolve(self._rows[event.name], detail=detail)

    def _print_unfinished(self, label: str | None) -> None:
        for key, lines in self._output_lines.finish(label):
            self._print_lines(key.label, lines, dim=not key.is_from_task)

    def _print_lines(self, label: str, lines: Sequence[str], *, dim: bool) -> None:
        """Print lines above the display, all at once: each print redraws it."""
        if not lines:
            return
        block = Text()
        for number, line in enumerate(lines):
            block.append("\n" if number else "")
            if len(self.jobs) > 1:
                colour = _COLOURS[self.jobs.index(label.partition("@")[0]) % len(_COLOURS)]
                block.append(f"{label:<{label_width(self._rows.values())}} | ", style=colour)
            block.append(sanitise(line), style="dim" if dim else "")
        self._console.print(block, soft_wrap=True)

    def _print_note(self, note: Note) -> None:
        if note.level is not Level.DEBUG or self.verbose:
            self._print_message(note_line(note), "yellow" if note.level is Level.WARNING else "dim")

    def _print_message(self, text: str, style: str) -> None:
        self._console.print(Text(one_line(text), style=style), soft_wrap=True)

    def _render(self) -> RenderableType:
        rows, now = list(self._rows.values()), time.monotonic()
        overflow: OverflowMethod = "ellipsis" if self._is_unicode else "crop"
        if len(rows) > MANY:
            lines = render_overview(rows, now, unicode=self._is_unicode)
            for line in lines:
                line.no_wrap, line.overflow = True, overflow
            return Group(*lines)
        # The last column gets exactly the remaining width only if the table is expanded.
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True, max_width=MAX_LABEL)
        table.add_column(no_wrap=True, overflow=overflow, ratio=1)
        width = self._console.width - label_width(rows) - 3
        for row in rows:
            table.add_row(self._mark(row), row.label, row.render(now, width))
        return table

    def _mark(self, row: JobRow) -> RenderableType:
        if row.result in {status.value for status in OPEN}:
            return Text(">", style="yellow")
        good, bad = ("✓", "✗") if self._is_unicode else ("+", "x")
        if row.result:
            return Text(bad, style="red") if row.failed else Text(good, style="green")
        return self._spinner if row.stage is not None else Text("")

    @property
    def _is_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")
