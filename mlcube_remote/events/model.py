# SPDX-License-Identifier: Apache-2.0
"""Events of a run. The progress display, logs, JSON output and records consume them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import attrs

from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.runs.ids import label
from mlcube_remote.transport.base import Stream


class Stage(Enum):
    """The steps of a job, in order."""

    CONNECT = "connect"
    SYNC = "sync"
    CONFIGURE = "configure"
    RUN = "run"
    PULL = "pull"


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events."""

    host: str
    at: float
    """Seconds since the run started, by the monotonic clock."""
    job: str = ""
    """The job's name in a sweep or among shards; empty if each host has one job."""

    @property
    def name(self) -> str:
        """The job's name, unique in its run."""
        return self.job or self.host

    @property
    def label(self) -> str:
        """The job's name as shown to users."""
        return label(self.job, self.host)


@attrs.frozen(kw_only=True)
class TrialStarted(Event):
    """A job of a sweep has got a host; before its first stage."""

    parameters: Mapping[str, str]
    """Values of the sweep point."""


@attrs.frozen(kw_only=True)
class StageStarted(Event):
    """A stage has started; ``task`` is set for :attr:`Stage.RUN`."""

    stage: Stage
    task: str | None = None


@attrs.frozen(kw_only=True)
class StageProgress(Event):
    """The progress of a stage."""

    stage: Stage
    detail: str
    fraction: float | None = None
    """Between 0 and 1; ``None`` if unknown."""


@attrs.frozen(kw_only=True)
class StageFinished(Event):
    """A stage has ended; ``skipped`` if there was nothing to do, such as an image present."""

    stage: Stage
    task: str | None = None
    seconds: float
    detail: str = ""
    skipped: bool = False


@attrs.frozen(kw_only=True)
class Output(Event):
    """Bytes exactly as a task, or the engine during configure, wrote them."""

    stage: Stage
    task: str | None
    stream: Stream
    data: bytes


class Level(Enum):
    """Importance of a note."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


@attrs.frozen(kw_only=True)
class Note(Event):
    """One line of text for the user."""

    level: Level
    text: str


@attrs.frozen(kw_only=True)
class JobQueued(Event):
    """The job waits in the queue of its cluster; again if the reason changes."""

    reason: str
    """In the words of Slurm: Priority, Resources."""


@attrs.frozen(kw_only=True)
class ConnectionLost(Event):
    """The connection to the host broke, or another attempt to replace it has failed."""

    reason: str
    retry_in: float
    """Seconds until the next attempt."""


@attrs.frozen(kw_only=True)
class ConnectionRestored(Event):
    """A new connection has replaced the broken one, and the work continues."""

    seconds: float
    """How long there was none."""


@attrs.frozen(kw_only=True)
class JobRetried(Event):
    """An attempt has failed, and the job will be retried on this or another host."""

    reason: str


@attrs.frozen(kw_only=True)
class JobFinished(Event):
    """The job is over, and will not be retried."""

    outcome: JobOutcome


EventSink = Callable[[Event], None]
"""Consumes events. It is called from many threads, so it must lock what it shares."""
