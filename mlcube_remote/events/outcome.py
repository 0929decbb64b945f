# SPDX-License-Identifier: Apache-2.0
"""Outcomes of jobs and tasks. Reports and records are built from them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import attrs

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.output_content import OutputContent
from mlcube_remote.events.output_state import OutputChanges, OutputState
from mlcube_remote.runs.ids import label


class Status(Enum):
    """The state of a job or task, as shown to users."""

    RUNNING = "running"
    """It is still running, and this command no longer follows it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"
    NOT_STARTED = "not-started"
    QUEUED = "queued"
    """Its host's scheduler has not started it yet, and this command does not wait for it."""


OPEN = frozenset({Status.RUNNING, Status.QUEUED})
"""States of jobs and tasks that this command no longer follows, and that have not ended."""


@attrs.frozen(kw_only=True)
class TaskOutcome:
    """The outcome of one task."""

    task: str
    status: Status
    exit_code: int | None = None
    """Exit code of the program; ``None`` if it never ran, or if the code is unknown."""
    reason: str = ""
    """More than the exit code says, such as ``out of memory`` or ``failed to start: …``."""
    seconds: float | None = None
    """Duration."""
    started: int | None = None
    """Start, in seconds since the epoch by the host's clock."""
    finished: int | None = None
    """End, in seconds since the epoch by the host's clock."""
    started_ms: int | None = None
    """Start, in milliseconds since the epoch, if the host's clock has them."""
    finished_ms: int | None = None
    """End, in milliseconds since the epoch."""
    timed_out: bool = False
    """Whether it was ended at its time limit."""
    by_host: bool = False
    """Whether its host ended it, rather than the program itself or one of its limits."""
    is_stale: bool = False
    """Whether it ended with 0, and failed because it left an output as it was."""
    outputs: OutputChanges | None = None
    """What it did to its outputs; ``None`` if its host has not said."""


@attrs.frozen(kw_only=True)
class PulledOutput:
    """One declared output."""

    task: str
    name: str
    path: Path
    """Absolute path on this machine."""
    is_partial: bool = False
    """Whether its task was still running, or had failed, when it was pulled."""
    state: OutputState | None = None
    """What the run did to it; ``None`` if that is not known. An unchanged output is no result of
    the run: what is at its path, if anything, is older."""
    content: OutputContent | None = None
    """Its size, digest and metrics; ``None`` if it was not pulled, or could not be read."""
    omitted: tuple[str, ...] = ()
    """Entries that were not pulled, each with the reason."""


@attrs.frozen(kw_only=True)
class JobOutcome:
    """The outcome of one job."""

    host: str
    """Name of its host; empty if no host was found for it."""
    job: str = ""
    """Its name in a sweep or among shards; empty if each host has one job."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """The values that a sweep gave it."""
    attempt: int = 1
    """Number of the attempt, counted from 1."""
    platform: str
    status: Status
    tasks: tuple[TaskOutcome, ...] = ()
    error: MLCubeRemoteError | None = None
    """What ended the job early, unless a task failed."""
    seconds: Mapping[str, float]
    """Stage name → seconds; stages that did not start are absent."""
    outputs: tuple[PulledOutput, ...] = ()

    @property
    def name(self) -> str:
        """The job's name, unique in its run."""
        return self.job or self.host

    @property
    def label(self) -> str:
        """The job's name as shown to users."""
        return label(self.job, self.host)

    @property
    def succeeded(self) -> bool:
        """Whether every task ended with 0 and all outputs are on this machine."""
        return self.status is Status.SUCCEEDED
