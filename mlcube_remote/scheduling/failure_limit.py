# SPDX-License-Identifier: Apache-2.0
"""Cancel a run after too many failures: ``--fail-fast`` and ``--max-failures``."""

from __future__ import annotations

import threading

import attrs

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.failure import FailureKind, failure_kind
from mlcube_remote.events.model import Event, JobFinished, Level, Note

_FAILURES = frozenset(
    {FailureKind.TASK, FailureKind.STALE_OUTPUT, FailureKind.HOST, FailureKind.PULL}
)


@attrs.define(kw_only=True)
class FailureLimit:
    """Counts the failed jobs, and cancels the run if they are too many."""

    run: RunContext
    most: int
    """Number of failed jobs at which the others are cancelled."""
    jobs: int
    """Number of jobs of the run."""
    _over: int = attrs.field(default=0, init=False)
    _failed: list[str] = attrs.field(factory=list, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Handle an event; may be called from many threads."""
        if not isinstance(event, JobFinished):
            return
        with self._lock:
            self._over += 1
            if failure_kind(event.outcome) not in _FAILURES:
                return
            self._failed.append(event.label)
            if len(self._failed) != self.most:
                return
            are_others = self._over < self.jobs
        if are_others:
            self._warn(event)
        failed = self._failed[0] if self.most == 1 else f"{self.most} jobs"
        self.run.interrupts.cancel(f"cancelled: {failed} had failed")

    def _warn(self, event: Event) -> None:
        counted = "one job has" if self.most == 1 else f"{self.most} jobs have"
        text = f"{counted} failed: all others are cancelled"
        self.run.sink(
            Note(host=event.host, job=event.job, at=event.at, level=Level.WARNING, text=text)
        )
