# SPDX-License-Identifier: Apache-2.0
"""How many jobs of a run are done, run, wait and have failed, and about how long the rest takes."""

from __future__ import annotations

import attrs

from mlcube_remote.events.model import Event, JobFinished, JobQueued, JobRetried, StageStarted
from mlcube_remote.events.outcome import OPEN, Status
from mlcube_remote.formatting import readable_duration


@attrs.frozen(kw_only=True)
class Tally:
    """The jobs of a run in numbers."""

    done: int
    failed: int
    """How many of these have failed."""
    queued: int = 0
    """How many wait in the queue of their cluster."""
    waiting: int
    began: tuple[float, ...]
    """When the running jobs started, on the monotonic clock."""
    took: tuple[float, ...]
    """Seconds of the jobs whose tasks have run to their end."""

    def counts(self, now: float) -> list[str]:
        """Return the numbers that are not 0, and about how long the rest takes, as texts."""
        counts = {
            "running": len(self.began),
            "queued": self.queued,
            "waiting": self.waiting,
            "failed": self.failed,
        }
        left = self.left(now)
        return [f"{count} {name}" for name, count in counts.items() if count] + [left] * bool(left)

    def left(self, now: float) -> str:
        """Return about how long the unfinished jobs take: ``about 5m 3s left``.

        They are expected to take as long as the finished ones on average, as many at a time as now.
        Empty if nothing is known about that.
        """
        not_started = self.queued + self.waiting
        if not self.took or not (self.began or not_started):
            return ""
        average = sum(self.took) / len(self.took)
        rests = [max(average - (now - began), 0.0) for began in self.began]
        together = (sum(rests) + not_started * average) / max(len(rests), 1)
        left = max([together, *rests])
        return f"about {readable_duration(round(left))} left" if left >= 1 else ""


@attrs.define
class JobCounter:
    """Counts the jobs of a run by their events."""

    total: int
    _began: dict[str, float] = attrs.field(factory=dict, init=False)
    _queued: set[str] = attrs.field(factory=set, init=False)
    _took: list[float] = attrs.field(factory=list, init=False)
    _done: int = attrs.field(default=0, init=False)
    _failed: int = attrs.field(default=0, init=False)

    def note(self, event: Event, now: float) -> None:
        """Count an event.

        Args:
            event: Any event.
            now: Time on the monotonic clock.
        """
        if isinstance(event, JobQueued):
            self._began.pop(event.name, None)
            self._queued.add(event.name)
            return
        if isinstance(event, (StageStarted, JobRetried, JobFinished)):
            self._queued.discard(event.name)
        if isinstance(event, StageStarted):
            self._began.setdefault(event.name, now)
        elif isinstance(event, JobRetried):
            self._began.pop(event.name, None)
        elif isinstance(event, JobFinished):
            began = self._began.pop(event.name, None)
            status = event.outcome.status
            self._done += 1
            self._failed += status not in {Status.SUCCEEDED, *OPEN}
            if began is not None and status in {Status.SUCCEEDED, Status.FAILED}:
                self._took.append(now - began)

    def tally(self) -> Tally:
        """Return the numbers."""
        return Tally(
            done=self._done,
            failed=self._failed,
            queued=len(self._queued),
            waiting=self.total - self._done - len(self._began) - len(self._queued),
            began=tuple(self._began.values()),
            took=tuple(self._took),
        )
