# SPDX-License-Identifier: Apache-2.0
"""``--gather``: group identical output of several jobs and print it once, when all have ended."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO

import attrs

from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Output,
    Stage,
    StageFinished,
)
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.host_ranges import format_ranges
from mlcube_remote.ui.progress.base import Reporter
from mlcube_remote.ui.text import LineAssembler

MAX_IN_MEMORY = 64 * 1024
"""Bytes of one task's output that are kept in memory; longer output goes to a temporary file."""

_CHUNK = 64 * 1024


@attrs.define
class _TaskOutput:
    """The bytes that one job's task wrote to one stream."""

    file: IO[bytes] = attrs.field(
        factory=lambda: tempfile.SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115 - closed later
    )
    digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)
    problem: OSError | None = None
    """Why later bytes could not be stored."""

    def add(self, data: bytes) -> None:
        """Store bytes; if the disk is full, drop them and let the run continue."""
        if self.problem is None:
            try:
                self.file.write(data)
            except OSError as problem:
                self.problem = problem
        self.digest.update(data)

    def lines(self) -> Iterator[str]:
        assembler = LineAssembler()
        self.file.seek(0)
        while data := self.file.read(_CHUNK):
            yield from assembler.feed(data)
        yield from assembler.finish()
        if self.problem is not None:
            yield f"(the rest could not be stored: {self.problem.strerror})"


@attrs.define
class GroupedReporter:
    """Holds back the output of tasks, and passes all other events on immediately."""

    inner: Reporter
    jobs: tuple[str, ...]
    """Names of the run's jobs."""
    _outputs: dict[tuple[str, Stream], dict[str, _TaskOutput]] = attrs.field(
        factory=dict, init=False
    )
    """(Task, stream) → job → its output."""
    _labels: dict[str, str] = attrs.field(factory=dict, init=False)
    _finished_tasks: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Task → jobs that have finished it."""
    _finished_jobs: set[str] = attrs.field(factory=set, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Store the output of a task; show any other event. May be called from many threads."""
        with self._lock:
            if isinstance(event, Output) and event.stage is Stage.RUN and event.task is not None:
                self._store(event, event.task)
                return
            self.inner.handle(event)
            if isinstance(event, StageFinished) and event.stage is Stage.RUN and event.task:
                self._finished_tasks.setdefault(event.task, set()).add(event.name)
            elif isinstance(event, JobFinished):
                self._finished_jobs.add(event.name)
            elif isinstance(event, JobRetried):
                self._forget(event.name)
            else:
                return
            self._print_complete_tasks()

    def print_block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Print lines that belong together, below a title."""
        self.inner.print_block(title, stream, lines)

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing until the block ends."""
        return self.inner.paused()

    def close(self) -> None:
        """Print the output that is still held back, and restore the terminal."""
        with self._lock:
            for task, stream in list(self._outputs):
                self._print_task(task, stream)
        self.inner.close()

    def _store(self, event: Output, task: str) -> None:
        self._labels[event.name] = event.label
        by_job = self._outputs.setdefault((task, event.stream), {})
        if event.name not in by_job:
            by_job[event.name] = _TaskOutput()
        by_job[event.name].add(event.data)

    def _forget(self, job: str) -> None:
        """Drop the output of a job that will be retried."""
        for by_job in self._outputs.values():
            if job in by_job:
                by_job.pop(job).file.close()
        for finished in self._finished_tasks.values():
            finished.discard(job)

    def _print_complete_tasks(self) -> None:
        """Print the output of each task that all jobs have finished."""
        for task, stream in list(self._outputs):
            finished = self._finished_jobs | self._finished_tasks.get(task, set())
            if finished.issuperset(self.jobs):
                self._print_task(task, stream)

    def _print_task(self, task: str, stream: Stream) -> None:
        """Print each distinct output of a task once, the most frequent first."""
        by_job = self._outputs.pop((task, stream))
        groups: dict[bytes, list[str]] = {}
        for job in self.jobs:
            if job in by_job:
                groups.setdefault(by_job[job].digest.digest(), []).append(job)
        for members in sorted(groups.values(), key=len, reverse=True):
            lines = by_job[members[0]].lines()
            self.inner.print_block(self._title(members, task), stream, lines)
        finished = self._finished_tasks.get(task, set())
        silent = [job for job in self.jobs if job not in by_job and job in finished]
        if silent and stream is Stream.STDOUT:
            self.inner.print_block(f"{self._title(silent, task)}: no output", stream, iter(()))
        for output in by_job.values():
            output.file.close()

    def _title(self, members: Sequence[str], task: str) -> str:
        names = format_ranges(self._labels.get(job, job) for job in members)
        return f"{names}: {task}" if len(members) == 1 else f"{names} ({len(members)}): {task}"
