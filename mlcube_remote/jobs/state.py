# SPDX-License-Identifier: Apache-2.0
"""Read a task's files on the host, and derive its outcome."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mlcube_remote.budgets import parse_exit_code, parse_time, parse_whole
from mlcube_remote.errors import StateUnknownError
from mlcube_remote.events.outcome import Status, TaskOutcome
from mlcube_remote.events.output_state import OutputChanges, stale_reason, unchanged_outputs
from mlcube_remote.facts.engine_errors import (
    engine_start_error,
    extract_engine_error,
    is_cube_fault,
)
from mlcube_remote.files.sent_outputs import SentFolder
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.launch import leads_out_error
from mlcube_remote.jobs.output_states import parse_changes
from mlcube_remote.jobs.slurm import ended_by_slurm, never_started
from mlcube_remote.transport.base import Connection, Stream

SIGKILLED, SIGTERMED = 137, 143
"""Exit codes of a process ended by a signal. The kernel sends SIGKILL if memory runs out; an engine
that shuts down sends SIGTERM first."""

_NEVER_RAN = frozenset({"created", "initialized"})
"""What Docker and Podman call a container that exists and was never started."""

_NO_INPUT = "an input did not exist when it began, and the host's disk is full"
_SEE_OUTPUT = "see the engine's message in the output above"


@attrs.frozen(kw_only=True)
class TaskReport:
    """The state of a task, as its host reports it."""

    exit: int | None
    """Exit code; ``None`` while the task runs, or if it left none."""
    alive: bool
    """Whether its supervisor runs."""
    sizes: Mapping[Stream, int]
    order: str = ""
    """The first part of the order in which the logs grew, if that was asked for."""
    started: float | None = None
    """Seconds since the epoch, by the host's clock; whole seconds if it has no others."""
    finished: float | None = None
    inspect: str = ""
    """``STATUS EXITCODE OOMKILLED ERROR`` from the engine; may be empty."""
    stopped: bool = False
    """Whether a user asked to stop the job."""
    timed_out: bool = False
    """Whether its supervisor ended it at its time limit."""
    hung: bool = False
    """Whether the engine's client was stopped because it had not started a container."""
    node: str = ""
    """The machine that it runs on, if that is another one that shares the home directory."""
    rebooted: bool = False
    """Whether the host has rebooted since the job started."""
    engine_restarted: bool = False
    """Whether the engine has restarted while the task ran."""
    queued: str | None = None
    """Why the job waits in the queue of a scheduler; ``None``: it does not wait."""
    scheduler: str = ""
    """How a scheduler ended the job: its word, such as ``TIMEOUT`` or ``CANCELLED by 1000``."""
    log_end: str = ""
    """The last lines of the job's own log, if a scheduler could not start its supervisor."""
    container: str = ""
    """The container's state if there is no supervisor: ``running …``, ``exited CODE …``,
    ``absent``, or ``unknown`` if the engine did not answer."""
    tail: str = ""
    """The end of the standard error of the task and its engine, if the task failed."""
    foreign: str = ""
    """Why the owner of output files could not be changed to the user."""
    refused: str | None = None
    """Why the host did not start the task when its turn came; ``None``: it started."""
    unsafe: str = ""
    """Where a directory that the task mounts leads, if it was not started for that reason."""
    unreturned: str = ""
    """Its exit code, and why its changes were not copied back from scratch; empty: they were."""
    outputs: OutputChanges | None = None
    """What it did to its outputs; ``None`` if its host has not said."""
    is_stale: bool = False
    """Whether it ended with 0, and left an output as it was although all must be fresh."""
    log_is_cut: bool = False
    log_is_degraded: bool = False
    """Whether a supervisor died and some of the log may be missing."""
    sent: Mapping[int, SentFolder] = attrs.field(factory=dict)
    """Outputs that came with the report, by the number of their folder, counted from 1."""

    @property
    def seconds(self) -> float | None:
        """Duration of the task, if known."""
        if self.started is None or self.finished is None:
            return None
        return round(max(0.0, self.finished - self.started), 3)


def read_task(
    connection: Connection, handle: JobHandle, number: int, *, with_order: bool = False
) -> TaskReport:
    """Ask the host for the state of the job's ``number``-th task.

    Args:
        connection: The host.
        handle: The job.
        number: The task, counted from 1.
        with_order: Whether to ask for the order in which its logs grew.

    Raises:
        StateUnknownError: The host does not answer, or its answer is incomplete.
    """
    words = ("order",) if with_order else ()
    reply = connection.call("mlcr_report_task", handle.job_dir, str(number), *words)
    return parse_report(handle, number, dict(reply.records()))


def parse_report(handle: JobHandle, number: int, facts: Mapping[str, str]) -> TaskReport:
    """Return the state of a task from the records of ``mlcr_report_task``.

    Raises:
        StateUnknownError: The records are incomplete.
    """
    try:
        code = facts["exit"]
        return TaskReport(
            exit=None if code == "pending" else parse_exit_code(code),
            alive=facts["alive"] == "yes",
            sizes={
                Stream.STDOUT: parse_whole(facts["stdout"]),
                Stream.STDERR: parse_whole(facts["stderr"]),
            },
            order=facts.get("order", ""),
            started=parse_time(facts.get("started")),
            finished=parse_time(facts.get("finished")),
            inspect=facts.get("inspect", ""),
            stopped=facts.get("stop") == "yes",
            timed_out=facts.get("timedout") == "yes",
            hung=facts.get("hung") == "yes",
            node=facts.get("node", ""),
            rebooted=facts.get("boot") == "changed",
            engine_restarted=facts.get("engine") == "restarted",
            queued=facts.get("queued"),
            scheduler=facts.get("scheduler", ""),
            log_end=facts.get("log_end", ""),
            container=facts.get("container", ""),
            tail=facts.get("tail", ""),
            foreign=facts.get("foreign", ""),
            refused=facts.get("refused"),
            unsafe=facts.get("unsafe", ""),
            unreturned=facts.get("unreturned", ""),
            outputs=parse_changes(handle, number, facts),
            is_stale=facts.get("stale") == "yes",
            log_is_cut=facts.get("cut") == "yes",
            log_is_degraded=facts.get("log") == "degraded",
        )
    except (KeyError, ValueError) as problem:
        raise StateUnknownError(
            handle.host,
            f"the state of {handle.job_dir} could not be read ({problem})",
            hint=f"look at its files on the host: ls {handle.task_dir(number)}",
        ) from problem


def can_be_adopted(report: TaskReport) -> bool:
    """Return whether the container outlived its supervisor, so that a new one can take over."""
    return (
        report.exit is None
        and not report.alive
        and bool(report.container)
        and report.container not in {"absent", "unknown"}
    )


def other_node_error(handle: JobHandle, node: str) -> StateUnknownError:
    """Return the error for a job on another machine that shares the host's home directory."""
    return StateUnknownError(
        handle.host,
        f"the job runs on {node}, which shares this home directory; its state cannot be read here",
        hint=f"point {handle.host} to {node} in the inventory, or wait for the job's end: "
        f"mlcube-remote attach {handle.run_id}",
    )


def derive_outcome(handle: JobHandle, task: TaskHandle, report: TaskReport) -> TaskOutcome:
    """Return the outcome of a task, from its exit file and the engine's account of the container.

    Raises:
        HostUnfitError: The engine refused to start the container.
        UnsafeContentError: A link leads from a directory that it mounts to another place.
        StateUnknownError: The supervisor is gone and the engine does not answer, or the task runs
            on another machine.
    """
    if report.exit is None:
        return _without_exit(handle, task, report)
    if report.unsafe:
        raise leads_out_error(handle.host, f"task {task.task} was not started: {report.unsafe}")
    ended = _ended_and_returned(handle, task, report, report.exit)
    return attrs.evolve(
        ended,
        task=task.task,
        seconds=report.seconds,
        started=None if report.started is None else int(report.started),
        finished=None if report.finished is None else int(report.finished),
        started_ms=_milliseconds(report.started),
        finished_ms=_milliseconds(report.finished),
        outputs=report.outputs,
    )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _outcome(status: Status, code: int | None, reason: str = "") -> TaskOutcome:
    return TaskOutcome(task="", status=status, exit_code=code, reason=reason)


def _without_exit(handle: JobHandle, task: TaskHandle, report: TaskReport) -> TaskOutcome:
    if report.scheduler:
        ended = ended_by_slurm(report.scheduler)
        if report.started is None:
            ended = never_started(handle, report.scheduler, report.log_end)
        if report.stopped and ended.status is Status.CANCELLED:
            ended = attrs.evolve(ended, reason="stopped on request")
    elif report.started is None and report.stopped:
        ended = _outcome(Status.CANCELLED, None, "stopped before it started")
    elif report.node:
        raise other_node_error(handle, report.node)
    elif report.rebooted:
        ended = _outcome(Status.LOST, None, "the host rebooted while it ran (boot id changed)")
    elif report.container == "unknown":
        raise StateUnknownError(
            handle.host,
            f"the supervisor of task {task.task} is gone and {' '.join(task.engine)} gives "
            "no answer: its container may still run",
            hint=f"mlcube-remote attach {handle.run_id}",
        )
    elif report.container == "absent" and task.container:
        ended = _outcome(Status.LOST, None, "its supervisor is gone, and its container was removed")
    else:
        ended = _outcome(Status.LOST, None, "its supervisor is gone and left no exit code")
    return attrs.evolve(ended, task=task.task)


def _ended_and_returned(
    handle: JobHandle, task: TaskHandle, report: TaskReport, exit_code: int
) -> TaskOutcome:
    code, _, why = report.unreturned.partition(" ")
    lost = f"its outputs could not be copied back: {why}"
    if code == "0":
        return _outcome(Status.FAILED, 0, lost)
    ended = _ended(handle, task, report, exit_code)
    if not code:
        return ended
    return attrs.evolve(ended, reason=f"{ended.reason}; {lost}" if ended.reason else lost)


def _ended(handle: JobHandle, task: TaskHandle, report: TaskReport, exit_code: int) -> TaskOutcome:
    if exit_code == 0:
        return _outcome(Status.SUCCEEDED, 0)
    if report.refused is not None:
        return _outcome(Status.FAILED, None, report.refused or _NO_INPUT)
    if report.is_stale:
        reason = stale_reason(unchanged_outputs(report.outputs))
        return attrs.evolve(_outcome(Status.FAILED, 0, reason), is_stale=True)
    hung = f": {' '.join(task.engine)} hung and had not started a container" if report.hung else ""
    if report.timed_out:
        limit = f" of {handle.timeout} s" if handle.timeout else ""
        ignored = ""
        if exit_code == SIGKILLED:
            # The first process of a container ignores SIGTERM unless it has a handler for it.
            ignored = f" and was killed {handle.grace} s later, because it ignored SIGTERM"
        reason = f"reached its time limit{limit}{hung or ignored}"
        return attrs.evolve(_outcome(Status.KILLED, exit_code, reason), timed_out=True)
    if report.scheduler:
        return ended_by_slurm(report.scheduler, exit_code=exit_code)
    if report.stopped:
        killed = " and killed, because it ignored SIGTERM" if exit_code == SIGKILLED else ""
        return _outcome(Status.CANCELLED, exit_code, f"stopped on request{hung or killed}")
    message = extract_engine_error(handle.platform, exit_code, report.tail)
    if not task.container:
        if message:
            return _not_started(handle, task, exit_code, message)
        return _outcome(Status.FAILED, exit_code)
    state, code, oom, error = _inspected(report.inspect)
    if report.engine_restarted and not oom and code in {SIGKILLED, SIGTERMED, None}:
        return attrs.evolve(
            _outcome(Status.KILLED, code, "the engine was stopped or restarted while it ran"),
            by_host=True,
        )
    if not state and report.container == "absent":
        return _outcome(Status.LOST, None, "its container was removed outside mlcube-remote")
    if not state:
        raise engine_start_error(handle.host, handle.platform, task.task, exit_code, message)
    if state in _NEVER_RAN:
        # Podman gives such a container the code 0, and prints the reason only to its own client.
        return _not_started(handle, task, code or exit_code, error or message)
    if oom and code == SIGKILLED:
        return _outcome(Status.KILLED, code, "out of memory")
    if oom:
        return _outcome(Status.FAILED, code, "a process inside was killed: out of memory")
    return _outcome(Status.FAILED, 1 if code is None else code)


def _not_started(handle: JobHandle, task: TaskHandle, code: int, message: str) -> TaskOutcome:
    """Return a failure if the cube's program cannot run; raise if the host is at fault.

    Raises:
        HostUnfitError: The engine created a container and could not start it.
    """
    if is_cube_fault(handle.platform, code, message):
        return _outcome(Status.FAILED, code, f"failed to start: {message or _SEE_OUTPUT}")
    raise engine_start_error(handle.host, handle.platform, task.task, code, message)


def _inspected(text: str) -> tuple[str, int | None, bool, str]:
    state, _, rest = text.partition(" ")
    code, _, rest = rest.partition(" ")
    oom, _, error = rest.partition(" ")
    try:
        exit_code = parse_exit_code(code)
    except ValueError:
        exit_code = None
    return state, exit_code, oom == "true", error.strip()
