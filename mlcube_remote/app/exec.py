# SPDX-License-Identifier: Apache-2.0
"""Run a further command in the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlcube_remote.app.follow import FoundRun
from mlcube_remote.dispatch.attach import read_handle
from mlcube_remote.errors import UsageError
from mlcube_remote.formatting import list_first
from mlcube_remote.jobs.exec import SHELL as SHELL  # noqa: PLC0414 - exported
from mlcube_remote.jobs.exec import exec_in_job
from mlcube_remote.jobs.lookup import RecordedJob, RecordedRun
from mlcube_remote.transport.standard_streams import StandardStreams

_MAX_NAMES = 8


def exec_in_run(found: FoundRun, command: Sequence[str], note: Callable[[str], None]) -> int:
    """Run a command in the container of one job of a run, with this process's standard streams.

    Args:
        found: The run, with the job only.
        command: The command and its arguments.
        note: Takes notes about the login.

    Returns:
        The command's exit status.

    Raises:
        UsageError: The run has several jobs.
        HostError: The host cannot be reached, or the job does not run.
    """
    chosen = _only_job(found.run)
    connection = found.logins.connect(chosen.host, note)
    try:
        handle = chosen.handle or read_handle(chosen, connection)
        return exec_in_job(connection, handle, command, StandardStreams.of_this_process())
    finally:
        connection.close()


def _only_job(run: RecordedRun) -> RecordedJob:
    names = [job.name for job in run.jobs]
    if len(names) > 1:
        problem = f"run {run.run_id} has {len(names)} jobs: {list_first(names, _MAX_NAMES)}"
        raise UsageError(problem, hint=f"choose one: {run.run_id}/{names[0]}")
    return run.jobs[0]
