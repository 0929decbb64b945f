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
from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
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
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress.base import OutputLines, note_line, retry_line
from mlcube_remote.ui.progress.job_row import JobRow, apply_event, label_width
from mlcube_remote.ui.progress.job_table import render_jobs
from mlcube_remote.ui.text import one_line, sanitise

_REFRESHES_PER_S = 8
"""Enough for a smooth spinner, and cheap for a laptop."""

_MAX_DETAIL = 400
"""Characters of an unfinished line that are kept: more than a terminal has columns."""

_BLOCK_LINES = 1000
"""Lines of a block that are printed together: each print redraws the display."""

_PRINT_INTERVAL_S = 0.05
"""Each print redraws the display, so lines that come faster are printed together."""

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
    _colours: dict[str, str] = attrs.field(init=False)
    """Job → the colour of its label."""
    _label_width: int = attrs.field(init=False)
    _output_lines: OutputLines = attrs.field(factory=OutputLines, init=False)
    _console: Console = attrs.field(init=False)
    _live: Live = attrs.field(init=False)
    _spinner: Spinner = attrs.field(init=False)
    _block: list[Text] = attrs.field(factory=list, init=False)
    """Lines to print."""
    _printed_at: float = attrs.field(default=0.0, init=False)
    """Time on the monotonic clock of the last print of lines."""
    _is_closed: threading.Event = attrs.field(factory=threading.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = {job: JobRow(job) for job in self.jobs}
        self._colours = {
            job: _COLOURS[number % len(_COLOURS)] for number, job in enumerate(self.jobs)
        }
        self._label_width = label_width(self._rows.values())
        self._console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
        self._spinner = Spinner("dots" if self._is_unicode else "line")
        self._show()
        threading.Thread(target=self._print_blocks, name="mlcr-lines", daemon=True).start()

    def _show(self) -> None:
        """Start to draw below all that is on the terminal; a display that was stopped would not."""
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
        self._is_closed.set()
        with self._lock:
            self._print_unfinished(None)
            self._print_block()
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing until the block ends; threads that report an event wait for it."""
        with self._lock:
            self._print_block()
            self._live.stop()
            try:
                yield
            finally:
                self._show()

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
            self._update(event)
            if isinstance(event, JobRetried):
                self._print_message(retry_line(event), "yellow")

    def _update(self, event: Event) -> None:
        before = self._rows[event.name]
        row = self._rows[event.name] = apply_event(before, event, time.monotonic())
        if row.label != before.label:
            self._label_width = label_width(self._rows.values())

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
        """Print lines above the display, together with others that come soon."""
        for line in lines:
            shown = Text()
            if len(self.jobs) > 1:
                colour = self._colours[label.partition("@")[0]]
                shown.append(f"{label:<{self._label_width}} | ", style=colour)
            self._block.append(shown.append(sanitise(line), style="dim" if dim else ""))
        is_due = time.monotonic() >= self._printed_at + _PRINT_INTERVAL_S
        if is_due or len(self._block) >= _BLOCK_LINES:
            self._print_block()

    def _print_block(self) -> None:
        if self._block:
            block, self._block = Text("\n").join(self._block), []
            self._console.print(block, soft_wrap=True)
            self._printed_at = time.monotonic()

    def _print_blocks(self) -> None:
        """Print the lines that no later event prints, until the display is closed."""
        while not self._is_closed.wait(_PRINT_INTERVAL_S):
            with self._lock:
                self._print_block()

    def _print_note(self, note: Note) -> None:
        if note.level is not Level.DEBUG or self.verbose:
            self._print_message(note_line(note), "yellow" if note.level is Level.WARNING else "dim")

    def _print_message(self, text: str, style: str) -> None:
        self._print_block()
        self._console.print(Text(one_line(text), style=style), soft_wrap=True)

    def _render(self) -> RenderableType:
        return render_jobs(
            list(self._rows.values()),
            time.monotonic(),
            width=self._console.width,
            unicode=self._is_unicode,
            spinner=self._spinner,
        )

    @property
    def _is_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")
