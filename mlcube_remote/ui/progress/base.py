# SPDX-License-Identifier: Apache-2.0
"""What all reporters share: their protocol, and how they cut output into lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import attrs

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
)
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.text import LineAssembler, one_line


class Reporter(Protocol):
    """Shows a run while it happens."""

    def handle(self, event: Event) -> None:
        """Show an event; may be called from many threads."""
        ...

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Print lines that belong together, below a title.

        Args:
            title: The title, without a newline.
            stream: The stream that the lines were read from.
            lines: The lines as they were written; this method removes control sequences.
        """
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing until the block ends; threads that report an event wait for it."""
        ...

    def close(self) -> None:
        """Print unfinished lines and restore the terminal."""
        ...


@attrs.frozen
class OutputKey:
    """One stream of one task, or of one stage of a job."""

    label: str
    stage: Stage
    task: str | None
    stream: Stream

    @property
    def is_from_task(self) -> bool:
        """Whether a task wrote to it, not mlcube-remote or the engine."""
        return self.stage is Stage.RUN


@attrs.define
class OutputLines:
    """Assembles the output of all jobs into lines, each stream separately."""

    _assemblers: dict[OutputKey, LineAssembler] = attrs.field(factory=dict, init=False)

    def feed(self, event: Output) -> list[str]:
        """Add the bytes of an event and return the lines that are now complete."""
        key = OutputKey(event.label, event.stage, event.task, event.stream)
        return self._assemblers.setdefault(key, LineAssembler()).feed(event.data)

    def finish(self, label: str | None = None) -> Iterator[tuple[OutputKey, list[str]]]:
        """Yield the unfinished lines of a job, and forget its streams.

        Args:
            label: The job; ``None``: all jobs.

        Yields:
            Each stream with its last line, if it has one.
        """
        for key in [key for key in self._assemblers if label in {None, key.label}]:
            yield key, self._assemblers.pop(key).finish()

    def unfinished(self, event: Output) -> str:
        """Return the line that the task of an event is still writing, such as a progress bar."""
        for stream in Stream:
            key = OutputKey(event.label, event.stage, event.task, stream)
            if key in self._assemblers and (text := self._assemblers[key].unfinished):
                return text
        return ""

    def redrawn(self, event: Output) -> str:
        """Return the line of this stream if its task draws it again and again."""
        key = OutputKey(event.label, event.stage, event.task, event.stream)
        return self._assemblers[key].redrawn if key in self._assemblers else ""


def note_line(note: Note) -> str:
    """Return a note as one line."""
    prefix = "warning: " if note.level is Level.WARNING else ""
    about = f"{note.label}: " if note.label else ""
    return f"{prefix}{about}{one_line(note.text)}"


def retry_line(event: JobRetried) -> str:
    """Return the warning that a job will be retried, as one line."""
    return f"warning: {event.label}: {one_line(event.reason)}; will be retried"


def queued_line(event: JobQueued) -> str:
    """Return the message that a job waits in the queue of its cluster, as one line."""
    return f"{event.label}: queued by Slurm: {one_line(event.reason)}"


def lost_line(event: ConnectionLost) -> str:
    """Return the warning that the connection broke, as one line."""
    return f"warning: {event.label}: {one_line(event.reason)}; reconnecting"


def restored_line(event: ConnectionRestored) -> str:
    """Return the message that there is a connection again, as one line."""
    return f"{event.label}: connected again after {event.seconds:.0f} s"
