# SPDX-License-Identifier: Apache-2.0
"""How a task stands, as its host tells it, and what that means."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mlcube_remote.dispatch.outcome import Status, TaskOutcome
from mlcube_remote.dispatch.preflight import records
from mlcube_remote.dispatch.refusal import is_of_the_cube, refused, words_of_engine
from mlcube_remote.dispatch.ticket import Ticket, TicketTask
from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport.base import Connection, Stream

SIGKILLED, SIGTERMED = 137, 143
"""Exit codes of a process that a signal ended: the kernel sends SIGKILL when memory runs out, an
engine that is shut down sends SIGTERM first."""

_NEVER_RAN = frozenset({"created", "initialized"})
"""What Docker and Podman call a container that is there, and was not started."""

_SAID_ABOVE = "the engine's own message stands above"


@attrs.frozen(kw_only=True)
class Verdict:
    """How a task stands, as its host tells it."""

    exit: int | None
    """``None`` while it runs, or when nothing was left behind."""
    alive: bool
    """Whether its supervisor lives."""
    sizes: Mapping[Stream, int]
    started: int | None = None
    """Seconds since the epoch, by the host's clock."""
    finished: int | None = None
    inspect: str = ""
    """``STATUS EXITCODE OOMKILLED ERROR`` from the engine, or nothing."""
    stopped: bool = False
    """Whether somebody asked for the job to stop."""
    timed_out: bool = False
    """Whether its supervisor ended it because its time was over."""
    node: str = ""
    """The machine that it is on, where that is another one which shares the home."""
    rebooted: bool = False
    """Whether the host was started anew since the job began."""
    engine_restarted: bool = False
    """Whether the engine was started anew while the task ran."""
    container: str = ""
    """What the engine says of the container when there is no supervisor any more: ``running …``,
    ``exited CODE …``, ``absent``, or ``unknown`` when it did not answer."""
    tail: str = ""
    """The end of what the task and its engine wrote to standard error, when it failed."""
    foreign: str = ""
    """Why files that belong to others there could not be given to the user."""
    log_is_cut: bool = False
    log_is_degraded: bool = False
    """Whether a supervisor died and some of the log may be missing."""

    @property
    def seconds(self) -> float | None:
        """How long the task took, where that is known."""
        if self.started is None or self.finished is None:
            return None
        return float(max(0, self.finished - self.started))


def ask(connection: Connection, ticket: Ticket, number: int) -> Verdict:
    """Ask the host how the job's ``number``-th task stands.

    Raises:
        StateUnknownError: The host cannot be asked, or does not know.
    """
    reply = connection.call("mlcr_report_task", ticket.job_dir, str(number))
    told = dict(records(reply))
    try:
        code = told["exit"]
        return Verdict(
            exit=None if code == "pending" else int(code),
            alive=told["alive"] == "yes",
            sizes={
                Stream.STDOUT: int(told["stdout"]),
                Stream.STDERR: int(told["stderr"]),
            },
            started=int(told["started"]) if "started" in told else None,
            finished=int(told["finished"]) if "finished" in told else None,
            inspect=told.get("inspect", ""),
            stopped=told.get("stop") == "yes",
            timed_out=told.get("timedout") == "yes",
            node=told.get("node", ""),
            rebooted=told.get("boot") == "changed",
            engine_restarted=told.get("engine") == "restarted",
            container=told.get("container", ""),
            tail=told.get("tail", ""),
            foreign=told.get("foreign", ""),
            log_is_cut=told.get("cut") == "yes",
            log_is_degraded=told.get("log") == "degraded",
        )
    except (KeyError, ValueError) as problem:
        raise StateUnknownError(
            connection.name,
            f"the state of {ticket.job_dir} could not be read ({problem})",
            hint=f"look there: ls {ticket.task_dir(number)}",
        ) from problem


def can_be_adopted(verdict: Verdict) -> bool:
    """Whether the container outlived its supervisor, so that another one can take it over."""
    return (
        verdict.exit is None
        and not verdict.alive
        and bool(verdict.container)
        and verdict.container not in {"absent", "unknown"}
    )


def elsewhere(ticket: Ticket, node: str) -> StateUnknownError:
    """Return what is to be said of a job on another machine that shares the host's home."""
    return StateUnknownError(
        ticket.host,
        f"it runs on {node}, which shares this home, and of which nothing can be said from here",
        hint=f"ask that machine: let {ticket.host} mean {node} in the inventory; or wait for the "
        f"end, which is seen from everywhere: mlcube-remote attach {ticket.run_id}",
    )


def judge(ticket: Ticket, task: TicketTask, verdict: Verdict) -> TaskOutcome:
    """Say how a task ended, from the two witnesses: the exit file and the engine's own account.

    Raises:
        HostUnfitError: The engine refused to start the container at all.
        StateUnknownError: The supervisor is gone, and the engine does not answer; or the task is on
            another machine.
    """
    if verdict.exit is None:
        return _without_exit(ticket, task, verdict)
    ended = _ended(ticket, task, verdict, verdict.exit)
    return attrs.evolve(
        ended,
        task=task.task,
        seconds=verdict.seconds,
        started=verdict.started,
        finished=verdict.finished,
    )


def _outcome(status: Status, code: int | None, reason: str = "") -> TaskOutcome:
    return TaskOutcome(task="", status=status, exit_code=code, reason=reason)


def _without_exit(ticket: Ticket, task: TicketTask, verdict: Verdict) -> TaskOutcome:
    if verdict.started is None and verdict.stopped:
        ended = _outcome(Status.CANCELLED, None, "stopped before it started")
    elif verdict.node:
        raise elsewhere(ticket, verdict.node)
    elif verdict.rebooted:
        ended = _outcome(Status.LOST, None, "the host rebooted while it ran (boot id changed)")
    elif verdict.container == "unknown":
        raise StateUnknownError(
            ticket.host,
            f"the supervisor of task {task.task} is gone and {' '.join(task.engine)} gives "
            "no answer: its container may still run",
            hint=f"mlcube-remote attach {ticket.run_id}",
        )
    elif verdict.container == "absent" and task.container:
        ended = _outcome(Status.LOST, None, "its supervisor is gone, and its container was removed")
    else:
        ended = _outcome(Status.LOST, None, "its supervisor vanished and left no exit code")
    return attrs.evolve(ended, task=task.task)


def _ended(ticket: Ticket, task: TicketTask, verdict: Verdict, exit_code: int) -> TaskOutcome:
    if exit_code == 0:
        return _outcome(Status.SUCCEEDED, 0)
    if verdict.timed_out:
        limit = f" of {ticket.timeout} s" if ticket.timeout else ""
        return attrs.evolve(
            _outcome(Status.KILLED, exit_code, f"ran out of its time{limit}"), timed_out=True
        )
    if verdict.stopped:
        killed = ", and killed: it did not end on SIGTERM" if exit_code == SIGKILLED else ""
        return _outcome(Status.CANCELLED, exit_code, f"stopped on request{killed}")
    said = words_of_engine(ticket.platform, exit_code, verdict.tail)
    if not task.container:
        if said:
            return _not_started(ticket, task, exit_code, said)
        return _outcome(Status.FAILED, exit_code)
    state, code, oom, error = _inspected(verdict.inspect)
    if verdict.engine_restarted and not oom and code in {SIGKILLED, SIGTERMED, None}:
        return attrs.evolve(
            _outcome(Status.KILLED, code, "the engine was stopped or restarted while it ran"),
            by_host=True,
        )
    if not state and verdict.container == "absent":
        return _outcome(Status.LOST, None, "its container was removed by somebody else")
    if not state:
        raise refused(ticket.host, ticket.platform, task.task, exit_code, said)
    if state in _NEVER_RAN:
        # Podman gives such a container the code 0, and its reason only to the one who asked.
        return _not_started(ticket, task, code or exit_code, error or said)
    if oom and code == SIGKILLED:
        return _outcome(Status.KILLED, code, "out of memory")
    if oom:
        return _outcome(Status.FAILED, code, "an out-of-memory kill happened inside")
    return _outcome(Status.FAILED, 1 if code is None else code)


def _not_started(ticket: Ticket, task: TicketTask, code: int, said: str) -> TaskOutcome:
    """Tell a program that cannot be run, which is the cube's, from all else, which is the host's.

    Raises:
        HostUnfitError: The engine made a container, and could not start it.
    """
    if is_of_the_cube(ticket.platform, code, said):
        return _outcome(Status.FAILED, code, f"failed to start: {said or _SAID_ABOVE}")
    raise refused(ticket.host, ticket.platform, task.task, code, said)


def _inspected(text: str) -> tuple[str, int | None, bool, str]:
    state, _, rest = text.partition(" ")
    code, _, rest = rest.partition(" ")
    oom, _, error = rest.partition(" ")
    return state, int(code) if code.isdigit() else None, oom == "true", error.strip()
