# SPDX-License-Identifier: Apache-2.0
"""Wait for a job that a scheduler starts, and say why it waits."""

from __future__ import annotations

import time
from functools import partial

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.facts.path_kind import read_kinds
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import TaskReport, read_task
from mlcube_remote.transport.base import Connection

_MIN_INTERVAL_S, _MAX_INTERVAL_S = 0.3, 10.0
"""Between two looks into the job's directory; the host asks its scheduler more rarely."""
_MIN_GLANCE_S, _MAX_GLANCE_S = 0.1, 1.0
"""Between two glances at whether it has started or was stopped: they cost its host no process."""
_SHARE = 0.1
"""Share of the wait so far that may pass before the next look or glance: login nodes are shared."""


def wait_in_queue(job: JobContext, handle: JobHandle) -> None:
    """Return when the job has left the queue; show each reason for which it waits.

    Raises:
        StateUnknownError: The host no longer answers.
    """
    if handle.launcher is not Launcher.SLURM:
        return
    began, shown, has_owner = time.monotonic(), "", False
    while (reason := job.connection.retrying(partial(_read_first, handle)).queued) is not None:
        if reason != shown:
            job.events.queued(reason)
            shown = reason
        waited = time.monotonic() - began
        has_owner = _rest(job, handle, waited * _SHARE, had_owner=has_owner)


def _rest(job: JobContext, handle: JobHandle, share: float, *, had_owner: bool) -> bool:
    """Sleep until the next look; not longer if the job starts, or if somebody stops it.

    Args:
        job: The job.
        handle: The same job on its host.
        share: Seconds until the next look, unless that is too soon or too late.
        had_owner: Whether a supervisor was seen before. It may be that of an earlier start.

    Returns:
        Whether a supervisor was seen.
    """
    seconds = min(_MAX_INTERVAL_S, max(_MIN_INTERVAL_S, share))
    glance_s = min(_MAX_GLANCE_S, max(_MIN_GLANCE_S, share))
    paths = (f"{handle.job_dir}/stop", f"{handle.job_dir}/owner")
    while True:
        time.sleep(min(glance_s, seconds))
        seconds -= glance_s
        if seconds <= 0:
            return had_owner
        stop, owner = job.connection.retrying(lambda at: read_kinds(at, *paths))
        if stop != "-" or (owner != "-" and not had_owner):
            return owner != "-"


def _read_first(handle: JobHandle, connection: Connection) -> TaskReport:
    return read_task(connection, handle, 1)
