# SPDX-License-Identifier: Apache-2.0
"""Run a further command in the container of a job: ``exec`` and ``shell``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlcube_remote.app.follow import FoundRun
from mlcube_remote.app.running_jobs import find_live_jobs
from mlcube_remote.dispatch.attach import read_handle
from mlcube_remote.errors import UsageError
from mlcube_remote.formatting import list_first
from mlcube_remote.jobs.exec import SHELL as SHELL  # noqa: PLC0414 - exported
from mlcube_remote.jobs.exec import exec_in_job
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.runs.ids import label
from mlcube_remote.transport.standard_streams import StandardStreams

_MAX_NAMES = 8

_NOT_YET = ("preparing", "queued")
"""States of live jobs without a container."""


def exec_in_run(
    found: FoundRun,
    command: Sequence[str],
    note: Callable[[str], None],
    say: Callable[[str], None],
) -> int:
    """Run a command in the container of one job of a run, with this process's standard streams.

    Args:
        found: The run, with the job only, or with several if only one of them runs.
        command: The command and its arguments.
        note: Takes notes about the login.
        say: Takes a line that says which job was chosen.

    Returns:
        The command's exit status.

    Raises:
        UsageError: Several jobs may be meant.
        HostError: The host cannot be reached, or the job does not run.
    """
    chosen = _choose_job(found, say)
    connection = found.logins.connect(chosen.host, note)
    try:
        handle = chosen.handle or read_handle(chosen, connection)
        return exec_in_job(connection, handle, command, StandardStreams.of_this_process())
    finally:
        connection.close()


def _choose_job(found: FoundRun, say: Callable[[str], None]) -> RecordedJob:
    """Return the only job, or else the only one that runs."""
    run = found.run
    if len(run.jobs) == 1:
        return run.jobs[0]
    running = find_live_jobs(found, without=_NOT_YET)
    if len(running) == 1:
        (job,) = running
        say(f"job {label(job.job, job.host.name)}, the only one that may run")
        return job
    names = [job.name for job in running or run.jobs]
    listed = list_first(names, _MAX_NAMES)
    if not running:
        raise UsageError(
            f"run {run.run_id} has {len(names)} jobs, and none of them runs: {listed}",
            hint=f"their output: mlcube-remote logs {run.run_id}",
        )
    raise UsageError(
        f"run {run.run_id} has {len(names)} jobs that may run: {listed}",
        hint=f"choose one: {run.run_id}/{names[0]}",
    )
