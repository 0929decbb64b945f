# SPDX-License-Identifier: Apache-2.0
"""Run a further command in the container of a job's running task."""

from __future__ import annotations

from collections.abc import Sequence

from mlcube_remote.errors import HostUnfitError, NotStartedError, StateUnknownError
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import read_job_state
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.standard_streams import StandardStreams

SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi")
"""The best shell that an image has."""

_RUNNING = ("running", "orphaned")


def exec_in_job(
    connection: Connection, handle: JobHandle, command: Sequence[str], terminal: StandardStreams
) -> int:
    """Run a command in the container of the job's running task.

    Args:
        connection: The host.
        handle: The job.
        command: The command and its arguments.
        terminal: The streams that the command gets.

    Returns:
        The command's exit status; 125, 126 and 127 as with ``docker exec``.

    Raises:
        NotStartedError: The job has not started its first task.
        HostUnfitError: The job has ended.
        StateUnknownError: The job is on another machine of a shared home, or its state is unknown.
    """
    _require_running(handle, read_job_state(connection, handle))
    is_terminal = "yes" if terminal.is_interactive else ""
    return connection.interact(
        "mlcr_exec_in_job", handle.job_dir, is_terminal, *command, terminal=terminal
    )


def _require_running(handle: JobHandle, state: str) -> None:
    if state in _RUNNING:
        return
    if state in {"ended", "lost"}:
        raise HostUnfitError(
            handle.host,
            f"run {handle.run_id} has ended there, and its container is removed",
            hint=f"its output: mlcube-remote logs {handle.run_id}",
        )
    if state in {"preparing", "abandoned", "absent", ""}:
        raise NotStartedError(
            handle.host,
            f"run {handle.run_id} has no running task",
            hint=f"mlcube-remote status {handle.run_id}",
        )
    raise StateUnknownError(
        handle.host,
        f"run {handle.run_id} is {state}: its container cannot be entered from here",
        hint=f"mlcube-remote status {handle.run_id}",
    )
