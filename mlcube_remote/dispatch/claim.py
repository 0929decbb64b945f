# SPDX-License-Identifier: Apache-2.0
"""Whose job it is: claimed by us, or by a client that had the same run id before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from mlcube_remote.dispatch.events import Level
from mlcube_remote.dispatch.launch import reserve, state
from mlcube_remote.dispatch.stages import Bench
from mlcube_remote.dispatch.ticket import Ticket
from mlcube_remote.errors import HostError, MLCubeRemoteError, PlanError, StateUnknownError
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
def claimed(bench: Bench, ticket: Ticket) -> Iterator[Claim]:
    """Hold the claim until the job is launched; one that cannot be launched is given back.

    Raises:
        BusyError: Another run holds the workspace.
    """
    held = claim(bench, ticket)
    try:
        yield held
    except MLCubeRemoteError:
        if held is not Claim.ANOTHERS and not bench.reached.launched:
            # Without a connection it will be seen to be abandoned.
            with suppress(HostError):
                bench.line.connection.call("mlcr_release_job", ticket.job_dir)
        raise


def claim(bench: Bench, ticket: Ticket) -> Claim:
    """Claim the job on its host; a claim whose client died before the launch is taken over.

    For as long as the job is not launched, each new connection claims it anew: the host takes a
    claim for dead when its connection is.

    Raises:
        BusyError: Another run holds the workspace.
    """
    held = bench.line.steadily(lambda connection: _claim(bench, ticket, connection))
    if held is not Claim.ANOTHERS:
        bench.line.after.append(lambda connection: _claim_again(bench, ticket, connection))
    return held


def _claim(bench: Bench, ticket: Ticket, connection: Connection) -> Claim:
    def wait(reason: str) -> None:
        bench.run.check()
        bench.journal.note(Level.INFO, f"waiting: {reason}")

    while True:
        found = reserve(
            connection,
            ticket,
            bench.lock,
            group=bench.group,
            wait=wait if bench.waits else None,
        )
        if found.state is None:
            return Claim.SHARED if found.is_kept else Claim.OURS
        if found.state != "abandoned":
            return Claim.ANOTHERS
        connection.call("mlcr_remove_job", ticket.root, ticket.job_id)


def _claim_again(bench: Bench, ticket: Ticket, connection: Connection) -> None:
    if not bench.reached.launched and _claim(bench, ticket, connection) is Claim.ANOTHERS:
        raise StateUnknownError(
            connection.name,
            "another client took the run over while this one was cut off",
            hint=f"mlcube-remote attach {ticket.run_id}",
        )


def join(bench: Bench, ticket: Ticket) -> None:
    """Wait until the job that another client claimed has been launched.

    Raises:
        PlanError: The run id stands for other tasks.
        StateUnknownError: The other client gave up.
    """
    line = bench.line
    text = line.steadily(lambda at: at.call("mlcr_print_line", f"{ticket.job_dir}/request")).text
    if (theirs := _tasks(text)) != [task.task for task in ticket.tasks]:
        raise PlanError(
            f"{ticket.host}: run {ticket.run_id} is of other tasks there: "
            f"{', '.join(theirs) or 'not readable'}",
            hint="leave --run-id out: each run gets an id of its own",
        )
    bench.journal.note(Level.INFO, f"run {ticket.run_id} was begun before: following it")
    while (found := line.steadily(lambda at: state(at, ticket))) == "preparing":
        bench.run.check()
        time.sleep(_LOOKS)
    if found in {"abandoned", "absent"}:
        raise StateUnknownError(
            ticket.host,
            "the client that was about to launch the job gave up",
            hint=f"run it again with --run-id={ticket.run_id}",
        )
    bench.reached.launched = True


def _tasks(request: str) -> list[str]:
    try:
        return [str(item["task"]) for item in json.loads(request)["tasks"]]
    except (ValueError, KeyError, TypeError):
        return []
