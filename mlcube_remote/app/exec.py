# SPDX-License-Identifier: Apache-2.0
"""Run a further command in the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlcube_remote.app.follow import FoundRun
from mlcube_remote.dispatch.attach import read_handle
from mlcube_remote.errors import UsageError
from mlcube_remote.jobs.exec import SHELL as SHELL  # noqa: PLC0414 - exported
from mlcube_remote.jobs.exec import exec_in_job
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.transport.terminal import Terminal

_MAX_NAMES = 8


def exec_in_run(
    found: FoundRun, job: str | None, command: Sequence[str], note: Callable[[str], None]
) -> int:
    """Run a command in the container of one job of a run, with this process's standard streams.

    Args:
        found: The run.
        job: The job's name; ``None``: the run has only one.
        command: The command and its arguments.
        note: Takes notes about the login.

    Returns:
        The command's exit status.

    Raises:
        UsageError: The run has no such job, or several.
        HostError: The host cannot be reached, or the job does not run.
    """
    chosen = _choose_job(found, job)
    connection = found.logins.connect(chosen.host, note)
    try:
        handle = chosen.handle or read_handle(chosen, connection)
        return exec_in_job(connection, handle, command, Terminal.of_this_process())
    finally:
        connection.close()


def _choose_job(found: FoundRun, name: str | None) -> RecordedJob:
    run = found.run
    jobs = [job for job in run.jobs if name in {None, job.name}]
    if len(jobs) == 1:
        return jobs[0]
    names = [job.name for job in run.jobs]
    listed = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    if jobs:
        problem = f"run {run.run_id} has {len(jobs)} jobs: {listed}"
        raise UsageError(problem, hint=f"choose one: --job={names[0]}")
    raise UsageError(
        f"run {run.run_id} has no job {name!r}; it has {listed}",
        hint=f"mlcube-remote status {run.run_id}",
    )
