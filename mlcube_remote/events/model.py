# SPDX-License-Identifier: Apache-2.0
"""What happens during a run, as values. Progress, logs, JSON and records are consumers of these."""

from __future__ import annotations

from collections.abc import Callable
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
    """Base of all events; ``at`` is seconds since the run began (monotonic clock)."""

    host: str
    at: float
    job: str = ""
    """The job's name in a sweep or among shards; nothing where each host has one job."""

    @property
    def name(self) -> str:
        """What tells the job from the others of its run."""
        return self.job or self.host

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return label(self.job, self.host)


@attrs.frozen(kw_only=True)
class StageStarted(Event):
    """A stage began; ``task`` is set for :attr:`Stage.RUN`."""

    stage: Stage
    task: str | None = None


@attrs.frozen(kw_only=True)
class StageProgress(Event):
    """How far a stage is: a short text, and a fraction between 0 and 1 where one is known."""

    stage: Stage
    detail: str
    fraction: float | None = None


@attrs.frozen(kw_only=True)
class StageFinished(Event):
    """A stage ended after ``seconds``; ``skipped`` says there was nothing to do (image present)."""

    stage: Stage
    task: str | None = None
    seconds: float
    detail: str = ""
    skipped: bool = False


@attrs.frozen(kw_only=True)
class Output(Event):
    """Bytes that a task (or, in configure, the engine) wrote, exactly as written."""

    stage: Stage
    task: str | None
    stream: Stream
    data: bytes


class Level(Enum):
    """How loud a note is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


@attrs.frozen(kw_only=True)
class Note(Event):
    """Something worth telling the user, in one line."""

    level: Level
    text: str


@attrs.frozen(kw_only=True)
class JobRetried(Event):
    """The job did not come to an end on this host, and is to be done again, here or elsewhere."""

    reason: str


@attrs.frozen(kw_only=True)
class JobFinished(Event):
    """The job is over."""

    outcome: JobOutcome


EventSink = Callable[[Event], None]
"""Consumes events; called from many threads, so it must lock what it shares."""
