# SPDX-License-Identifier: Apache-2.0
"""Claim a job on its host, or join another client that has claimed the same job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial

from mlcube_remote.budgets import parse_json
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.finish import JobProgress
from mlcube_remote.errors import HostError, MLCubeRemoteError, PlanError, StateUnknownError
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import claim_lost, read_job_state, reserve
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.uses import use_words
from mlcube_remote.transport.base import Connection

POLL_INTERVAL_S = 1.0
"""Interval for polling a job that another client prepares."""


class Claim(Enum):
    """Which client has the job."""

    OURS = "ours"
    """This one: it prepares and launches the job."""
    OURS_UNCHANGED = "ours, unchanged"
    """This one, and no other run has used the workspace since the last job of this run."""
    OTHER_CLIENT = "other client"
    """Another one, which has launched the job or is about to."""


@contextmanager
def hold_claim(
    job: JobContext, plan: JobPlan, handle: JobHandle, progress: JobProgress
) -> Iterator[Claim]:
    """Hold the claim on a job until it is launched; release it if it cannot be launched.

    A claim whose client died before the launch is taken over. Each new connection claims again
    until then, because the host drops a claim with the connection that holds it.

    Raises:
        BusyError: Another run holds the workspace.
        ClaimLostError: Another run has used it while there was no connection.
    """
    claim = job.connection.retrying(partial(_claim, job, plan, handle))
    if claim is Claim.OTHER_CLIENT:
        yield claim
        return
    job.reconnect.claim = partial(_claim_again, job, plan, handle)
    try:
        yield claim
    except MLCubeRemoteError:
        if not progress.is_launched:
            # Without a connection the host sees that the claim is abandoned.
            with suppress(HostError):
                job.connection.current.call("mlcr_release_job", handle.job_dir)
        raise


def _claim(job: JobContext, plan: JobPlan, handle: JobHandle, connection: Connection) -> Claim:
    # A job of a sweep does not wait: it may get another host.
    is_waiting = job.run.wait and plan.spec.trial is None
    while True:
        found = reserve(
            connection,
            handle,
            plan.lock,
            group=plan.group,
            uses=use_words(plan),
            wait=job.waiting if is_waiting else None,
        )
        if found.state is None:
            return Claim.OURS_UNCHANGED if found.is_kept else Claim.OURS
        if found.state != "abandoned":
            return Claim.OTHER_CLIENT
        connection.call("mlcr_remove_job", handle.root, handle.job_id)


def _claim_again(job: JobContext, plan: JobPlan, handle: JobHandle, connection: Connection) -> None:
    claim = _claim(job, plan, handle, connection)
    if claim is Claim.OURS:
        # What was prepared may have changed.
        raise claim_lost(connection)
    if claim is Claim.OTHER_CLIENT:
        raise StateUnknownError(
            connection.name,
            "another client took over the run while this one had no connection",
            hint=f"mlcube-remote attach {handle.run_id}",
        )


def join_other_client(job: JobContext, handle: JobHandle) -> None:
    """Wait until the client that has claimed the job has launched it.

    Raises:
        PlanError: The run with this id has other tasks.
        StateUnknownError: The other client did not launch it.
    """
    connection = job.connection
    text = connection.retrying(
        lambda at: at.call("mlcr_print_line", f"{handle.job_dir}/request")
    ).text
    if (others := _task_names(text)) != [task.task for task in handle.tasks]:
        raise PlanError(
            f"{handle.host}: run {handle.run_id} has other tasks on this host: "
            f"{', '.join(others) or 'not readable'}",
            hint="omit --run-id: each run gets an id of its own",
        )
    job.info(f"run {handle.run_id} was started before: following it")
    while (state := connection.retrying(lambda at: read_job_state(at, handle))) == "preparing":
        job.run.interrupts.check()
        time.sleep(POLL_INTERVAL_S)
    if state in {"abandoned", "absent"}:
        raise StateUnknownError(
            handle.host,
            "the client that was about to launch the job exited before it did",
            hint=f"run it again with --run-id={handle.run_id}",
        )


def _task_names(request: str) -> list[str]:
    try:
        return [str(item["task"]) for item in parse_json(request)["tasks"]]
    except (ValueError, KeyError, TypeError):
        return []
