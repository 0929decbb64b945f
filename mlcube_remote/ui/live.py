# SPDX-License-Identifier: Apache-2.0
"""A run on a terminal: one line per host at the bottom, the tasks' output scrolling above."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

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
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import Status
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.crowd import crowd
from mlcube_remote.ui.folding import MANY
from mlcube_remote.ui.jobline import JobLine, why
from mlcube_remote.ui.text import LineAssembler, one_line, sanitise

REFRESHES = 8
"""Per second: enough for a spinner, little enough for a laptop."""

_WIDEST = 400
"""Characters of detail that are kept: more than any terminal has columns."""

_AT_ONCE = 1000
"""Lines of a block that are printed together: each printing draws the display anew."""

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


@attrs.define(kw_only=True)
class LiveReporter:
    """See :class:`mlcube_remote.ui.reporter.Reporter`.

    Rich draws under a lock of its own, which printing takes too. Hence ``_lock``, which is held
    while printing, must never be taken while drawing: each would wait for the other, for ever.
    """

    hosts: tuple[str, ...]
    verbose: bool
    stream: TextIO
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _lines: dict[str, JobLine] = attrs.field(init=False)
    _assemblers: dict[tuple[str, Stage, str | None, Stream], LineAssembler] = attrs.field(
        factory=dict, init=False
    )
    _console: Console = attrs.field(init=False)
    _live: Live = attrs.field(init=False)
    _spinner: Spinner = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = {host: JobLine(host) for host in self.hosts}
        self._console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
        self._spinner = Spinner("dots" if self._unicode else "line")
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESHES,
            get_renderable=self._render,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    @property
    def _unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    @property
    def _overflow(self) -> OverflowMethod:
        return "ellipsis" if self._unicode else "crop"

    def close(self) -> None:
        """Show what is left and give the terminal back."""
        with self._lock:
            for key in list(self._assemblers):
                self._finish(key)
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing for as long as the block lasts; who has something to show waits."""
        with self._lock:
            self._live.stop()
            try:
                yield
            finally:
                self._live.start()

    def handle(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            if isinstance(event, Output):
                self._output(event)
            elif isinstance(event, StageStarted):
                self._set(
                    event.name,
                    label=event.label,
                    stage=event.stage,
                    reached=event.stage,
                    task=event.task,
                    detail="",
                    since=time.monotonic(),
                )
            elif isinstance(event, StageProgress):
                self._set(event.name, detail=event.detail)
            elif isinstance(event, StageFinished):
                self._flush(event.label)
                took = f"{event.task or event.stage.value} {event.seconds:.1f}s"
                done = (*self._lines[event.name].done, took)
                self._set(event.name, stage=None, done=done, since=time.monotonic())
            elif isinstance(event, JobFinished):
                self._flush(event.label)
                outcome = event.outcome
                self._set(
                    event.name,
                    label=event.label,
                    stage=None,
                    result=outcome.status.value,
                    reason=why(outcome),
                )
            elif isinstance(event, JobRetried):
                self._flush(event.label)
                self._set(
                    event.name, label=event.name, stage=None, reached=None, detail="", done=()
                )
                self._say(f"warning: {event.label}: {event.reason}; to be done again", "yellow")
            elif isinstance(event, Note):
                self._note(event)

    def _set(self, name: str, **changes: Any) -> None:
        self._lines[name] = attrs.evolve(self._lines[name], **changes)

    def _output(self, event: Output) -> None:
        key = (event.label, event.stage, event.task, event.stream)
        assembler = self._assemblers.setdefault(key, LineAssembler())
        self._print(event.label, assembler.feed(event.data), dim=event.stage is not Stage.RUN)
        self._set(event.name, detail=self._unfinished(event))

    def _unfinished(self, event: Output) -> str:
        """Return the line a task is still writing: a progress bar is one for hours."""
        for stream in Stream:
            key = (event.label, event.stage, event.task, stream)
            if key in self._assemblers and (text := self._assemblers[key].unfinished):
                return text[:_WIDEST]
        return ""

    def _flush(self, label: str) -> None:
        for key in [key for key in self._assemblers if key[0] == label]:
            self._finish(key)

    def _finish(self, key: tuple[str, Stage, str | None, Stream]) -> None:
        self._print(key[0], self._assemblers.pop(key).finish(), dim=key[1] is not Stage.RUN)

    def _print(self, label: str, lines: Sequence[str], *, dim: bool) -> None:
        """Print lines above the display, all at once: each printing draws it anew."""
        if not lines:
            return
        block = Text()
        for number, line in enumerate(lines):
            block.append("\n" if number else "")
            if len(self.hosts) > 1:
                width = min(max(len(line.label) for line in self._lines.values()), 24)
                name = label.partition("@")[0]
                colour = _COLOURS[self.hosts.index(name) % len(_COLOURS)]
                block.append(f"{label:<{width}} | ", style=colour)
            block.append(sanitise(line), style="dim" if dim else "")
        self._console.print(block, soft_wrap=True)

    def block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:  # noqa: ARG002
        """Show lines that belong together, below a title; a terminal has one stream for all."""
        with self._lock:
            self._console.print(Text(one_line(title), style="bold"), soft_wrap=True)
            while some := list(islice(lines, _AT_ONCE)):
                text = "\n".join(f"  {sanitise(line)}" for line in some)
                self._console.print(Text(text), soft_wrap=True)

    def _note(self, event: Note) -> None:
        if event.level is Level.DEBUG and not self.verbose:
            return
        style = "yellow" if event.level is Level.WARNING else "dim"
        word = "warning: " if event.level is Level.WARNING else ""
        self._say(f"{word}{event.label}: {event.text}", style)

    def _say(self, text: str, style: str) -> None:
        self._console.print(Text(one_line(text), style=style), soft_wrap=True)

    def _render(self) -> RenderableType:
        lines = list(self._lines.values())
        now = time.monotonic()
        if len(lines) > MANY:
            rows = crowd(lines, now, unicode=self._unicode)
            for row in rows:
                row.no_wrap, row.overflow = True, self._overflow
            return Group(*rows)
        # Only an expanded table gives the last column what the others leave, never more.
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True, max_width=24)
        table.add_column(no_wrap=True, overflow=self._overflow, ratio=1)
        width = self._console.width - min(max(len(line.label) for line in lines), 24) - 3
        for line in lines:
            table.add_row(self._mark(line), line.label, line.state(now, width))
        return table

    def _mark(self, line: JobLine) -> RenderableType:
        good, bad = ("✓", "✗") if self._unicode else ("+", "x")
        if line.result == Status.RUNNING.value:
            return Text(">", style="yellow")
        if line.result:
            return Text(bad, style="red") if line.failed else Text(good, style="green")
        return self._spinner if line.stage is not None else Text("")
