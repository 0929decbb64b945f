# SPDX-License-Identifier: Apache-2.0
"""Ask a host to stop a job."""

from __future__ import annotations

from mlcube_remote.facts.probe import records
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import other_node_error
from mlcube_remote.transport.base import Connection

STOP_GRACE_S = 10
"""Seconds between SIGTERM and SIGKILL when a job is stopped."""


def request_stop(connection: Connection, handle: JobHandle, grace: int = STOP_GRACE_S) -> bool:
    """Ask a host to stop a job; doing it twice does no harm.

    Returns:
        Whether there was anything to stop.

    Raises:
        StateUnknownError: It is on another machine that shares the host's home.
    """
    reply = connection.call("mlcr_stop", handle.job_dir, str(grace), timeout=grace + 60.0)
    told = dict(records(reply))
    if "node" in told:
        raise other_node_error(handle, told["node"])
    return told.get("stopped") != "nothing"
