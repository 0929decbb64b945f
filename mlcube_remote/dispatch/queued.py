# SPDX-License-Identifier: Apache-2.0
"""Wait for a job that a scheduler starts, and say why it waits."""

from __future__ import annotations

import time
from functools import partial

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.facts.path_kind import read_kind
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import TaskReport, read_task
from mlcube_remote.transport.base import Connection

_MIN_INTERVAL_S, _MAX_INTERVAL_S = 0.3, 10.0
"""Between two looks into the job's directory; the host asks its scheduler more rarely."""
_GLANCE_S = 1.0
"""Between two glances at whether somebody has stopped the job, which costs its host no process."""
_SHARE = 0.1
"""Share of the wait so far that may pass before the start is noticed: login nodes are shared."""


def wait_in_queue(job: JobContext, handle: JobHandle) -> None:
    """Return when the job has left the queue; show each reason for which it waits.

    Raises:
        StateUnknownError: The host no longer answers.
    """
    if handle.launcher is not Launcher.SLURM:
        return
    began, shown = time.monotonic(), ""
    while (reason := job.connection.retrying(partial(_read_first, handle)).queued) is not None:
        if reason != shown:
            job.info(f"queued by Slurm: {reason}")
            shown = reason
        waited = time.monotonic() - began
        _rest(job, handle, min(_MAX_INTERVAL_S, max(_MIN_INTERVAL_S, waited * _SHARE)))


def _rest(job: JobContext, handle: JobHandle, seconds: float) -> None:
    """Sleep until the next look; not longer if somebody stops the job meanwhile."""
    stop = f"{handle.job_dir}/stop"
    while True:
        time.sleep(min(_GLANCE_S, seconds))
        seconds -= _GLANCE_S
        if seconds <= 0 or job.connection.retrying(partial(read_kind, path=stop)) != "-":
            return


def _read_first(handle: JobHandle, connection: Connection) -> TaskReport:
    return read_task(connection, handle, 1)
