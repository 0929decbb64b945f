# SPDX-License-Identifier: Apache-2.0
"""How jobs end, as values that reports and records are built from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import attrs

from mlcube_remote.errors import MLCubeRemoteError


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
    timed_out: bool = False
    """Whether it was ended because its time was over."""


@attrs.frozen(kw_only=True)
class PulledOutput:
    """One declared output that is now on this machine."""

    task: str
    name: str
    path: Path
    """Where it is here, absolute."""
    is_partial: bool = False
    """Whether its task was still at work, or did not end well, when it was pulled."""


@attrs.frozen(kw_only=True)
class JobOutcome:
    """How the job on one host ended."""

    host: str
    platform: str
    status: Status
    tasks: tuple[TaskOutcome, ...] = ()
    error: MLCubeRemoteError | None = None
    """What ended the job early, when that was not a task's own failure."""
    seconds: Mapping[str, float]
    """Stage name → seconds; a stage that was not reached is absent."""
    outputs: tuple[PulledOutput, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether every task ended with 0 and its outputs are here."""
        return self.status is Status.SUCCEEDED
