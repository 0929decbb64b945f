# SPDX-License-Identifier: Apache-2.0
"""Ask a host to stop a job."""

from __future__ import annotations

from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import other_node_error
from mlcube_remote.transport.base import Connection

_ANSWER_TIMEOUT_S = 60.0
"""Time that the host may need for its answer, in addition to the grace period."""


def request_stop(connection: Connection, handle: JobHandle, grace: int | None = None) -> bool:
    """Ask a host to stop a job. It is safe to ask twice.

    Args:
        connection: The host.
        handle: The job.
        grace: Seconds between SIGTERM and SIGKILL; ``None``: as the run was started with.

    Returns:
        Whether there was anything to stop.

    Raises:
        StateUnknownError: The job runs on another machine that shares the host's home directory.
    """
    seconds = handle.grace if grace is None else grace
    timeout = seconds + _ANSWER_TIMEOUT_S
    reply = connection.call("mlcr_stop_job", handle.job_dir, str(seconds), timeout=timeout)
    facts = dict(reply.records())
    if "node" in facts:
        raise other_node_error(handle, facts["node"])
    return facts.get("stopped") != "nothing"
