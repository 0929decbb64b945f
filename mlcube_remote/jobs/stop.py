# SPDX-License-Identifier: Apache-2.0
"""Ask a host to stop a job."""

from __future__ import annotations

from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import other_node_error
from mlcube_remote.transport.base import Connection

STOP_GRACE_S = 10
"""Time between SIGTERM and SIGKILL when a job is stopped."""

_ANSWER_TIMEOUT_S = 60.0
"""Time that the host may need for its answer, in addition to the grace period."""


def request_stop(connection: Connection, handle: JobHandle, grace: int = STOP_GRACE_S) -> bool:
    """Ask a host to stop a job. It is safe to ask twice.

    Returns:
        Whether there was anything to stop.

    Raises:
        StateUnknownError: The job runs on another machine that shares the host's home directory.
    """
    timeout = grace + _ANSWER_TIMEOUT_S
    reply = connection.call("mlcr_stop_job", handle.job_dir, str(grace), timeout=timeout)
    facts = dict(reply.records())
    if "node" in facts:
        raise other_node_error(handle, facts["node"])
    return facts.get("stopped") != "nothing"
