# SPDX-License-Identifier: Apache-2.0
"""``--gather``: what many hosts print alike is shown once, when the last of them has done so."""

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
from mlcube_remote.ui.folding import folded
from mlcube_remote.ui.reporter import Reporter
from mlcube_remote.ui.text import LineAssembler

IN_MEMORY = 64 * 1024
"""Bytes of one task's output that are kept in memory; more of it goes to a temporary file."""

_CHUNK = 64 * 1024


@attrs.define
class _Kept:
    """What one job's task wrote to one stream."""

    file: IO[bytes] = attrs.field(
        factory=lambda: tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed when shown
    )
    digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)
    problem: OSError | None = None
    """Why the rest could not be kept."""

    def add(self, data: bytes) -> None:
        """Keep bytes for as long as there is a place for them: a full disk ends no run."""
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
            yield f"(the rest could not be kept: {self.problem.strerror})"


@attrs.define
class GatheringReporter:
    """Keeps tasks' output back, and passes everything else on at once."""

    inner: Reporter
    jobs: tuple[str, ...]
    """What the run's jobs are called."""
    _kept: dict[tuple[str, Stream], dict[str, _Kept]] = attrs.field(factory=dict, init=False)
    """(Task, stream) → job → what it wrote."""
    _labels: dict[str, str] = attrs.field(factory=dict, init=False)
    _ended: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    """Task → jobs that have done with it."""
    _over: set[str] = attrs.field(factory=set, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Keep an event, or show it."""
        with self._lock:
            if isinstance(event, Output) and event.stage is Stage.RUN and event.task is not None:
                self._keep(event, event.task)
                return
            self.inner.handle(event)
            if isinstance(event, StageFinished) and event.stage is Stage.RUN and event.task:
                self._ended.setdefault(event.task, set()).add(event.name)
            elif isinstance(event, JobFinished):
                self._over.add(event.name)
            elif isinstance(event, JobRetried):
                self._forget(event.name)
            else:
                return
            self._show_what_is_whole()

    def block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Show lines that belong together, below a title."""
        self.inner.block(title, stream, lines)

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing for as long as the block lasts."""
        return self.inner.paused()

    def close(self) -> None:
        """Show what is left and give the terminal back."""
        with self._lock:
            for key in list(self._kept):
                self._show(*key)
        self.inner.close()

    def _keep(self, event: Output, task: str) -> None:
        self._labels[event.name] = event.label
        by_job = self._kept.setdefault((task, event.stream), {})
        if event.name not in by_job:
            by_job[event.name] = _Kept()
        by_job[event.name].add(event.data)

    def _forget(self, job: str) -> None:
        """Forget what a job wrote that is to be done again."""
        for by_job in self._kept.values():
            if job in by_job:
                by_job.pop(job).file.close()
        for ended in self._ended.values():
            ended.discard(job)

    def _show_what_is_whole(self) -> None:
        for task, stream in list(self._kept):
            if all(job in self._over or job in self._ended.get(task, ()) for job in self.jobs):
                self._show(task, stream)

    def _show(self, task: str, stream: Stream) -> None:
        """Show each of the different outputs once, that of most jobs first."""
        by_job = self._kept.pop((task, stream))
        groups: dict[bytes, list[str]] = {}
        for job in self.jobs:
            if job in by_job:
                groups.setdefault(by_job[job].digest.digest(), []).append(job)
        silent = [
            job for job in self.jobs if job not in by_job and job in self._ended.get(task, ())
        ]
        for members in sorted(groups.values(), key=len, reverse=True):
            self.inner.block(self._title(members, task), stream, by_job[members[0]].lines())
        if silent and stream is Stream.STDOUT:
            self.inner.block(f"{self._title(silent, task)}: nothing", stream, iter(()))
        for kept in by_job.values():
            kept.file.close()

    def _title(self, members: Sequence[str], task: str) -> str:
        names = folded(self._labels.get(job, job) for job in members)
        return f"{names}: {task}" if len(members) == 1 else f"{names} ({len(members)}): {task}"
