# SPDX-License-Identifier: Apache-2.0
"""Whose job it is: claimed by us, or by a client that had the same run id before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from mlcube_remote.dispatch.stages import JobContext
from mlcube_remote.errors import HostError, MLCubeRemoteError, PlanError, StateUnknownError
from mlcube_remote.events.model import Level
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import read_job_state, reserve
from mlcube_remote.transport.base import Connection

_LOOKS = 1.0
"""Seconds between two looks at a job that another client makes ready."""


class Claim(Enum):
    """Whose job it is."""

    OURS = "ours"
    """Nobody had it: it is to be made ready and launched."""
    SHARED = "shared"
    """So it is here; and since the run's last job there nobody else has had the workspace."""
    ANOTHERS = "another's"
    """It was launched before, or another client is about to."""


@contextmanager
def hold_claim(context: JobContext, handle: JobHandle) -> Iterator[Claim]:
    """Hold the claim until the job is launched; one that cannot be launched is given back.

    Raises:
        BusyError: Another run holds the workspace.
    """
    held = claim_job(context, handle)
    try:
        yield held
    except MLCubeRemoteError:
        if held is not Claim.ANOTHERS and not context.progress.launched:
            # Without a connection it will be seen to be abandoned.
            with suppress(HostError):
                context.line.connection.call("mlcr_give_back", handle.job_dir)
        raise


def claim_job(context: JobContext, handle: JobHandle) -> Claim:
    """Claim the job on its host; a claim whose client died before the launch is taken over.

    For as long as the job is not launched, each new connection claims it anew: the host takes a
    claim for dead when its connection is.

    Raises:
        BusyError: Another run holds the workspace.
    """
    held = context.line.steadily(lambda connection: _claim(context, handle, connection))
    if held is not Claim.ANOTHERS:
        context.line.after.append(lambda connection: _claim_again(context, handle, connection))
    return held


def _claim(context: JobContext, handle: JobHandle, connection: Connection) -> Claim:
    def wait(reason: str) -> None:
        context.run.check()
        context.events.note(Level.INFO, f"waiting: {reason}")

    while True:
        found = reserve(
            connection,
            handle,
            context.plan.lock,
            group=context.plan.group,
            wait=wait if context.waits else None,
        )
        if found.state is None:
            return Claim.SHARED if found.is_kept else Claim.OURS
        if found.state != "abandoned":
            return Claim.ANOTHERS
        connection.call("mlcr_remove", handle.root, handle.job_id)


def _claim_again(context: JobContext, handle: JobHandle, connection: Connection) -> None:
    if not context.progress.launched and _claim(context, handle, connection) is Claim.ANOTHERS:
        raise StateUnknownError(
            connection.name,
            "another client took the run over while this one was cut off",
            hint=f"mlcube-remote attach {handle.run_id}",
        )


def join_other_client(context: JobContext, handle: JobHandle) -> None:
    """Wait until the job that another client claimed has been launched.

    Raises:
        PlanError: The run id stands for other tasks.
        StateUnknownError: The other client gave up.
    """
    line = context.line
    text = line.steadily(lambda at: at.call("mlcr_line", f"{handle.job_dir}/request")).text
    if (theirs := _tasks(text)) != [task.task for task in handle.tasks]:
        raise PlanError(
            f"{handle.host}: run {handle.run_id} is of other tasks there: "
            f"{', '.join(theirs) or 'not readable'}",
            hint="leave --run-id out: each run gets an id of its own",
        )
    context.events.note(Level.INFO, f"run {handle.run_id} was begun before: following it")
    while (found := line.steadily(lambda at: read_job_state(at, handle))) == "preparing":
        context.run.check()
        time.sleep(_LOOKS)
    if found in {"abandoned", "absent"}:
        raise StateUnknownError(
            handle.host,
            "the client that was about to launch the job gave up",
            hint=f"run it again with --run-id={handle.run_id}",
        )
    context.progress.launched = True


def _tasks(request: str) -> list[str]:
    try:
        return [str(item["task"]) for item in json.loads(request)["tasks"]]
    except (ValueError, KeyError, TypeError):
        return []
