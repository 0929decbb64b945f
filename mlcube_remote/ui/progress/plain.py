# SPDX-License-Identifier: Apache-2.0
"""Show a run as plain lines (pipes, files, CI): stages on stderr, tasks' output on stdout."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

import attrs

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobFinished,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress.base import (
    OutputLines,
    lost_line,
    note_line,
    queued_line,
    restored_line,
    retry_line,
)
from mlcube_remote.ui.progress.tally import JobCounter
from mlcube_remote.ui.text import one_line, sanitise

PROGRESS_INTERVAL_S = 10.0
"""A job's stage, and the whole run, get at most one line of progress in this time."""

BAR_INTERVAL_S = 60.0
"""The progress bar that a task draws gets at most one line in this time."""

_TOTAL = ""
"""The label of the whole run; jobs have others."""


@attrs.define
class _ProgressLines:
    """Returns a line for some events: for each job, and for all, at most one in ten seconds.

    A job that is queued always gets a line.
    """

    total: int
    """Number of jobs."""
    _counter: JobCounter = attrs.field(init=False)
    _next: dict[str, float] = attrs.field(factory=dict, init=False)
    """Label → time on the monotonic clock from which on it gets another line."""
    _next_bar: dict[str, float] = attrs.field(factory=dict, init=False)
    """The same for the progress bar of its task."""

    def __attrs_post_init__(self) -> None:
        self._counter = JobCounter(self.total)
        self._next[_TOTAL] = time.monotonic() + PROGRESS_INTERVAL_S

    def note(self, event: Event, now: float) -> str:
        """Return the line to print after an event; empty: none."""
        self._counter.note(event, now)
        if isinstance(event, StageStarted):
            self._next[event.label] = now + PROGRESS_INTERVAL_S
        elif isinstance(event, StageProgress):
            # In configure, the output of the engine is printed, and says more.
            if event.stage is not Stage.CONFIGURE and self._is_due(event.label, now):
                return f"{event.label}: {event.stage.value}: {one_line(event.detail)}"
        elif isinstance(event, JobQueued):
            return queued_line(event)
        elif isinstance(event, JobFinished):
            tally = self._counter.tally()
            if tally.done < self.total and self._is_due(_TOTAL, now):
                done = f"{tally.done} of {self.total} done"
                return ", ".join([done, *tally.counts(now)])
        return ""

    def bar(self, event: Output, lines: OutputLines) -> list[str]:
        """Return a task's progress bar if there is one, and it is time to print it.

        CI systems end a command that prints nothing for some minutes.
        """
        label, text, now = event.label, lines.redrawn(event), time.monotonic()
        if not text or now < self._next_bar.setdefault(label, now + BAR_INTERVAL_S):
            return []
        self._next_bar[label] = now + BAR_INTERVAL_S
        return [text]

    def _is_due(self, label: str, now: float) -> bool:
        is_due = now >= self._next.get(label, now)
        if is_due:
            self._next[label] = now + PROGRESS_INTERVAL_S
        return is_due


@attrs.define(kw_only=True)
class PlainReporter:
    """See :class:`mlcube_remote.ui.progress.base.Reporter`."""

    jobs: tuple[str, ...]
    quiet: bool
    verbose: bool
    stdout: TextIO
    stderr: TextIO
    on_lost: Callable[[OSError], None] = lambda _: None
    """Takes the error if output of tasks cannot be written, such as on a full disk."""
    on_gone: Callable[[], None] = lambda: None
    """Called if the reader of the tasks' output has gone, such as ``head``."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _output_lines: OutputLines = attrs.field(factory=OutputLines, init=False)
    _disconnected: set[str] = attrs.field(factory=set, init=False)
    """Jobs without a connection."""
    _progress: _ProgressLines = attrs.field(init=False)
    _lost: set[TextIO] = attrs.field(factory=set, init=False)
    """Streams that cannot be written any more."""

    def __attrs_post_init__(self) -> None:
        self._progress = _ProgressLines(len(self.jobs))

    def close(self) -> None:
        """Print unfinished lines."""
        with self._lock:
            self._print_unfinished(None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing until the block ends; threads that report an event wait for it."""
        with self._lock:
            yield

    def handle(self, event: Event) -> None:
        """Show an event; may be called from many threads."""
        with self._lock:
            if isinstance(event, Output):
                self._print_output(event)
                return
            if isinstance(event, (StageFinished, JobFinished, JobRetried)):
                self._print_unfinished(event.label)
            if isinstance(event, StageFinished):
                self._print_stage(event)
            elif isinstance(event, JobRetried):
                self._print_message(retry_line(event))
            elif isinstance(event, Note):
                self._print_note(event)
            elif isinstance(event, (ConnectionLost, ConnectionRestored)):
                self._print_connection(event)
            line = self._progress.note(event, time.monotonic())
            if line and not self.quiet:
                self._print_message(line)

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Print lines that belong together, below a title."""
        target = self.stderr if stream is Stream.STDERR else self.stdout
        with self._lock, self._writable(target) as writable:
            if not writable:
                return
            target.write(_encodable(f"{one_line(title)}\n", target))
            for line in lines:
                target.write(_encodable(f"  {sanitise(line)}\n", target))
            target.flush()

    def _print_output(self, event: Output) -> None:
        is_from_task = event.stage is Stage.RUN
        if self.quiet and not is_from_task:
            return
        target = self._target(event.stream, is_from_task=is_from_task)
        if len(self.jobs) == 1 and is_from_task and not target.isatty():
            self._write_bytes(target, event.data)
            return
        for line in self._output_lines.feed(event) or self._progress.bar(event, self._output_lines):
            self._print_line(target, event.label, line)

    def _print_unfinished(self, label: str | None) -> None:
        for key, lines in self._output_lines.finish(label):
            target = self._target(key.stream, is_from_task=key.is_from_task)
            for line in lines:
                self._print_line(target, key.label, line)

    def _target(self, stream: Stream, *, is_from_task: bool) -> TextIO:
        return self.stdout if is_from_task and stream is Stream.STDOUT else self.stderr

    def _print_stage(self, event: StageFinished) -> None:
        if self.quiet:
            return
        name = f"{event.stage.value} {event.task}" if event.task else event.stage.value
        detail = one_line(event.detail) or "done"
        self._print_message(f"{event.label}: {name}: {detail} ({event.seconds:.1f} s)")

    def _print_note(self, note: Note) -> None:
        if note.level is Level.DEBUG and not self.verbose:
            return
        if note.level is Level.WARNING or not self.quiet:
            self._print_message(note_line(note))

    def _print_connection(self, event: ConnectionLost | ConnectionRestored) -> None:
        """Print one line if the connection breaks, and one if there is one again."""
        if isinstance(event, ConnectionRestored):
            self._disconnected.discard(event.name)
            if not self.quiet:
                self._print_message(restored_line(event))
        elif event.name not in self._disconnected:
            self._disconnected.add(event.name)
            self._print_message(lost_line(event))

    def _write_bytes(self, target: TextIO, data: bytes) -> None:
        """Write a task's bytes unchanged: a program may read them."""
        buffer = getattr(target, "buffer", None)
        with self._writable(target) as writable:
            if not writable:
                return
            if buffer is None:  # a text-only stream, as in tests and notebooks
                target.write(data.decode("utf-8", "backslashreplace"))
            else:
                buffer.write(data)
                buffer.flush()

    def _print_line(self, target: TextIO, label: str, line: str) -> None:
        prefix = f"{label} | " if len(self.jobs) > 1 else ""
        self._write(target, f"{prefix}{sanitise(line)}\n")

    def _print_message(self, text: str) -> None:
        self._write(self.stderr, f"{text}\n")

    def _write(self, target: TextIO, text: str) -> None:
        with self._writable(target) as writable:
            if writable:
                target.write(_encodable(text, target))
                target.flush()

    @contextlib.contextmanager
    def _writable(self, target: TextIO) -> Iterator[bool]:
        """Return whether a stream can still be written; ``| head`` and a full disk end no run."""
        try:
            yield target not in self._lost
        except BrokenPipeError:
            self._lost.add(target)
            if target is self.stdout:
                self.on_gone()
        except OSError as problem:
            self._lost.add(target)
            self.on_lost(problem)
            self._print_message(
                f"warning: the output can no longer be written here ({problem.strerror or problem})"
                "; jobs continue, and mlcube-remote logs prints it all"
            )


def _encodable(text: str, target: TextIO) -> str:
    """Return ``text`` with escapes for characters that the stream's encoding lacks."""
    encoding = getattr(target, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
