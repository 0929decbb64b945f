# SPDX-License-Identifier: Apache-2.0
"""How jobs end, as values that reports and records are built from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import attrs

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.output_content import OutputContent
from mlcube_remote.runs.ids import label


class Status(Enum):
    """The words a user sees for the end of a job or of one of its tasks."""

    RUNNING = "running"
    """It goes on, and nobody here follows it any more."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"
    NOT_STARTED = "not-started"


@attrs.frozen(kw_only=True)
class TaskOutcome:
    """How one task of a job ended."""

    task: str
    status: Status
    exit_code: int | None = None
    """The program's own exit code; ``None`` when it never ran or cannot be known."""
    reason: str = ""
    """Why, when the exit code alone does not say: ``out of memory``, ``failed to start: …``."""
    seconds: float | None = None
    started: int | None = None
    """When it began, in seconds since the epoch by the host's clock."""
    finished: int | None = None
    timed_out: bool = False
    """Whether it was ended because its time was over."""
    by_host: bool = False
    """Whether its host ended it, rather than itself or its limits."""


@attrs.frozen(kw_only=True)
class PulledOutput:
    """One declared output that is now on this machine."""

    task: str
    name: str
    path: Path
    """Where it is here, absolute."""
    is_partial: bool = False
    """Whether its task was still at work, or did not end well, when it was pulled."""
    content: OutputContent | None = None
    """What it holds; ``None`` where that could not be read."""


@attrs.frozen(kw_only=True)
class JobOutcome:
    """How one job ended."""

    host: str
    """Where it was; nothing when no host was found for it."""
    job: str = ""
    """Its name in a sweep or among shards; nothing where each host has one job."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """What a sweep gave it."""
    attempt: int = 1
    """How often it has been begun, this time included."""
    platform: str
    status: Status
    tasks: tuple[TaskOutcome, ...] = ()
    error: MLCubeRemoteError | None = None
    """What ended the job early, when that was not a task's own failure."""
    seconds: Mapping[str, float]
    """Stage name → seconds; a stage that was not reached is absent."""
    outputs: tuple[PulledOutput, ...] = ()

    @property
    def name(self) -> str:
        """What tells the job from the others of its run."""
        return self.job or self.host

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return label(self.job, self.host)

    @property
    def succeeded(self) -> bool:
        """Whether every task ended with 0 and its outputs are here."""
        return self.status is Status.SUCCEEDED
