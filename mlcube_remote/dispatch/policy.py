# SPDX-License-Identifier: Apache-2.0
"""When a run is given up: ``--fail-fast`` and ``--max-failures``."""

from __future__ import annotations

import threading

import attrs

from mlcube_remote.dispatch.events import Event, JobFinished
from mlcube_remote.dispatch.fault import Fault, fault_of
from mlcube_remote.dispatch.run import Run


@attrs.define(kw_only=True)
class Patience:
    """Counts the jobs that failed, and gives the run up when they are too many."""

    run: Run
    most: int
    """Failed jobs at which the others are cancelled."""
    _failed: list[str] = attrs.field(factory=list, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Note an event; may be called from many threads."""
        if not isinstance(event, JobFinished):
            return
        if fault_of(event.outcome) not in {Fault.TASK, Fault.HOST}:
            return
        with self._lock:
            self._failed.append(event.label)
            if len(self._failed) != self.most:
                return
        failed = self._failed[0] if self.most == 1 else f"{self.most} jobs"
        self.run.give_up(f"cancelled: {failed} had failed")
