# SPDX-License-Identifier: Apache-2.0
"""A run as plain lines, for pipes, files and CI: stages on stderr, tasks' output on stdout."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TextIO

import attrs

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
from mlcube_remote.ui.text import LineAssembler, one_line, sanitise

StreamKey = tuple[str, Stage, "str | None", Stream]


@attrs.define(kw_only=True)
class PlainReporter:
    """See :class:`mlcube_remote.ui.reporter.Reporter`."""

    hosts: tuple[str, ...]
    quiet: bool
    verbose: bool
    stdout: TextIO
    stderr: TextIO
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _assemblers: dict[StreamKey, LineAssembler] = attrs.field(factory=dict, init=False)
    _gone: set[TextIO] = attrs.field(factory=set, init=False)

    def close(self) -> None:
        """Show what is left and give the terminal back."""
        with self._lock:
            for key in list(self._assemblers):
                self._finish(key)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing for as long as the block lasts; who has something to show waits."""
        with self._lock:
            yield

    def handle(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            if isinstance(event, Output):
                self._output(event)
            elif isinstance(event, StageFinished):
                self._flush(event.label)
                self._stage(event)
            elif isinstance(event, JobFinished):
                self._flush(event.label)
            elif isinstance(event, JobRetried):
                self._flush(event.label)
                self._say(f"warning: {event.label}: {one_line(event.reason)}; to be done again")
            elif isinstance(event, Note):
                self._note(event)

    def block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Show lines that belong together, below a title."""
        target = self.stderr if stream is Stream.STDERR else self.stdout
        with self._lock, self._reader_may_be_gone(target) as gone:
            if gone:
                return
            target.write(_encodable(f"{one_line(title)}\n", target))
            for line in lines:
                target.write(_encodable(f"  {sanitise(line)}\n", target))
            target.flush()

    def _output(self, event: Output) -> None:
        ours = event.stage is not Stage.RUN
        if ours and self.quiet:
            return
        target = self.stderr if ours or event.stream is Stream.STDERR else self.stdout
        if len(self.hosts) == 1 and not ours and not target.isatty():
            self._raw(target, event.data)
            return
        key = (event.label, event.stage, event.task, event.stream)
        assembler = self._assemblers.setdefault(key, LineAssembler())
        for line in assembler.feed(event.data):
            self._line(target, event.label, line)

    def _raw(self, target: TextIO, data: bytes) -> None:
        """Pass a task's bytes on as they are: the reader may be a program."""
        buffer = getattr(target, "buffer", None)
        with self._reader_may_be_gone(target) as gone:
            if gone:
                return
            if buffer is None:  # a stream of text alone, as tests and notebooks have
                target.write(data.decode("utf-8", "backslashreplace"))
            else:
                buffer.write(data)
                buffer.flush()

    def _line(self, target: TextIO, label: str, line: str) -> None:
        prefix = f"{label} | " if len(self.hosts) > 1 else ""
        with self._reader_may_be_gone(target) as gone:
            if not gone:
                target.write(_encodable(f"{prefix}{sanitise(line)}\n", target))
                target.flush()

    @contextlib.contextmanager
    def _reader_may_be_gone(self, target: TextIO) -> Iterator[bool]:
        """Go on when nobody reads a stream any more (``| head``): the run matters more."""
        try:
            yield target in self._gone
        except BrokenPipeError:
            self._gone.add(target)

    def _flush(self, label: str) -> None:
        for key in [key for key in self._assemblers if key[0] == label]:
            self._finish(key)

    def _finish(self, key: StreamKey) -> None:
        label, stage, _, stream = key
        ours = stage is not Stage.RUN
        target = self.stderr if ours or stream is Stream.STDERR else self.stdout
        for line in self._assemblers.pop(key).finish():
            self._line(target, label, line)

    def _stage(self, event: StageFinished) -> None:
        if self.quiet:
            return
        detail = one_line(event.detail)
        told = f" {detail}" if detail else " done"
        name = f"{event.stage.value} {event.task}" if event.task else event.stage.value
        self._say(f"{event.label}: {name}:{told} ({event.seconds:.1f} s)")

    def _note(self, event: Note) -> None:
        if event.level is Level.DEBUG and not self.verbose:
            return
        if event.level is not Level.WARNING and self.quiet:
            return
        word = "warning: " if event.level is Level.WARNING else ""
        self._say(f"{word}{event.label}: {one_line(event.text)}")

    def _say(self, text: str) -> None:
        with self._reader_may_be_gone(self.stderr) as gone:
            if not gone:
                self.stderr.write(_encodable(f"{text}\n", self.stderr))
                self.stderr.flush()


def _encodable(text: str, target: TextIO) -> str:
    """Return ``text`` with escapes for what the stream's encoding lacks: not every one is UTF-8."""
    encoding = getattr(target, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
