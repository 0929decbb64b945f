# SPDX-License-Identifier: Apache-2.0
"""What is reported: events, outcomes and exit codes.

Programs import the events from here: ``from mlcube_remote.events import Output``.
"""

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobFinished,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
    TrialStarted,
)

__all__ = [
    "ConnectionLost",
    "ConnectionRestored",
    "Event",
    "JobFinished",
    "JobQueued",
    "JobRetried",
    "Level",
    "Note",
    "Output",
    "Stage",
    "StageFinished",
    "StageProgress",
    "StageStarted",
    "TrialStarted",
]
