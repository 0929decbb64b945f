# SPDX-License-Identifier: Apache-2.0
"""Ask hosts which jobs they have. Their answer counts; this machine's record is a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from mlcube_remote.budgets import parse_exit_code, parse_time, parse_whole
from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.events.outcome import Status
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import HandleError, JobHandle, from_host
from mlcube_remote.jobs.slurm import ended_by_slurm
from mlcube_remote.transport.ask_hosts import AT_ONCE, ask_hosts
from mlcube_remote.transport.base import Connection

LIVE = ("preparing", "queued", "running", "orphaned", "elsewhere", "unknown")
"""States of jobs that may still run."""

_TIMEOUT_S = 60.0

_KILLED = {"time": "time limit reached", "memory": "out of memory", "engine": "engine restarted"}
"""Why a task was killed: a host's word → the word shown to users."""
_FAILED = {
    "refused": "could not start",
    "unsafe": "link leads out",
    "unreturned": "outputs not copied back",
    "stale": "output unchanged",
}
"""Why a task failed without its program: a host's word → the words shown to users."""
_LOST_BY_REBOOT = "reboot"


@attrs.frozen(kw_only=True)
class FoundTask:
    """One task, as its host reports it."""

    task: str
    exit: int | None
    started: int | None
    finished: int | None
    killed: str = ""
    """Why it was killed, if neither the task itself nor a user ended it."""
    failed: str = ""
    """Why it failed, if its program did not run or ended with 0."""


@attrs.frozen(kw_only=True)
class FoundJob:
    """One job, as its host reports it."""

    host: str
    job_id: str
    state: str
    """As ``mlcr_print_job_state`` prints it: one of :data:`LIVE`, or ended, lost or abandoned."""
    age: int
    """Seconds since it was claimed, by the host's clock."""
    handle: JobHandle | None
    """``None`` if the host's copy cannot be read."""
    tasks: tuple[FoundTask, ...] = ()
    is_stopping: bool = False
    lost: str = ""
    """Why a lost job is lost; empty if the host did not say."""
    queued: str = ""
    """Why its host's scheduler has not started it."""
    scheduler: str = ""
    """How its host's scheduler ended it, in the scheduler's words."""

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to; ``None`` if that cannot be read."""
        return None if self.handle is None else self.handle.run_id

    @property
    def is_live(self) -> bool:
        """Whether it may still run."""
        return self.state in LIVE

    @property
    def current(self) -> FoundTask | None:
        """The task that runs, or else the last that ended."""
        started = [task for task in self.tasks if task.started is not None]
        return started[-1] if started else None

    @property
    def shown_state(self) -> str:
        """The state as shown to users."""
        if self.scheduler and not self.is_live:
            return _scheduled_end(self.scheduler)
        if self.state == "queued" and not self.is_stopping:
            return f"queued ({self.queued})" if self.queued else "queued"
        if self.state == "ended":
            ended = [task for task in self.tasks if task.exit is not None]
            if ended and ended[-1].exit != 0:
                killed = ended[-1].killed
                if killed == _KILLED["time"] or (killed and not self.is_stopping):
                    return f"killed ({killed})"
                failed = ended[-1].failed or ended[-1].exit
                return f"failed ({failed})" if not self.is_stopping else "cancelled"
            return "succeeded" if len(ended) == len(self.tasks) else "cancelled"
        if self.state == "abandoned":
            return "not-started"
        if self.state in {"running", "queued"} and self.is_stopping:
            return "stopping"
        if self.lost:
            return f"lost ({self.lost})"
        return "running" if self.state == "orphaned" else self.state


def _scheduled_end(word: str) -> str:
    outcome = ended_by_slurm(word)
    return (
        outcome.status.value
        if outcome.status is Status.CANCELLED
        else (f"{outcome.status.value} (Slurm: {word.partition(' ')[0]})")
    )


@attrs.frozen(kw_only=True)
class HostJobs:
    """The jobs of one host."""

    host: Host
    jobs: tuple[FoundJob, ...] = ()
    error: HostError | None = None
    """Why the host gave no answer."""


def query_all(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    everything: bool,
    parallel: int = AT_ONCE,
) -> tuple[HostJobs, ...]:
    """Ask hosts in parallel for their jobs; a host that gives no answer has an ``error``.

    Args:
        hosts: The hosts to ask.
        connect: Opens a connection.
        everything: Whether to include jobs that have ended.
        parallel: Maximum number of hosts asked at the same time.
    """

    def ask(connection: Connection, host: Host) -> HostJobs:
        return HostJobs(host=host, jobs=query_host(connection, host, everything=everything))

    return ask_hosts(
        hosts,
        connect,
        ask,
        lambda host, problem: HostJobs(host=host, error=problem),
        parallel=parallel,
    )


def query_host(connection: Connection, host: Host, *, everything: bool) -> tuple[FoundJob, ...]:
    """Ask one host for this user's jobs.

    Raises:
        HostUnfitError: Its answer cannot be read.
        StateUnknownError: It does not answer.
    """
    words = ("all",) if everything else ()
    reply = connection.call("mlcr_report_jobs", host.remote_root, *words, timeout=_TIMEOUT_S)
    if not reply.ok:
        raise HostUnfitError(host.name, f"its jobs cannot be listed: {reply.message}")
    try:
        facts = list(reply.records())
        requests = dict(text.partition(" ")[::2] for key, text in facts if key == "request")
        own = [fact for fact in facts if fact[0] != "request"]
        return tuple(_job(host, each, requests) for each in _split(own, "job"))
    except (KeyError, ValueError) as problem:
        raise HostUnfitError(host.name, f"its list of jobs cannot be read ({problem})") from problem


Facts = Sequence[tuple[str, str]]


def _split(facts: Facts, key: str) -> list[Facts]:
    """Split facts into groups that each start with ``key``; omit facts before the first group."""
    starts = [index for index, (name, _) in enumerate(facts) if name == key]
    return [facts[start:end] for start, end in pairwise([*starts, len(facts)])]


def _job(host: Host, facts: Facts, requests: Mapping[str, str]) -> FoundJob:
    groups = _split(facts, "task")
    own = dict(facts[: len(facts) - sum(map(len, groups))])
    try:
        handle = from_host(requests.get(own["job"], ""), Path.cwd())
    except HandleError:
        handle = None
    return FoundJob(
        host=host.name,
        job_id=own["job"],
        state=own["state"],
        age=max(0, parse_whole(own.get("age") or "0")),
        handle=handle,
        is_stopping=own.get("stop") == "yes",
        lost=_lost(own.get("lost"), handle),
        queued=own.get("queued", ""),
        scheduler=own.get("scheduler", ""),
        tasks=tuple(_task(dict(group)) for group in groups),
    )


def _lost(word: str | None, handle: JobHandle | None) -> str:
    if word is None:
        return ""
    if word == _LOST_BY_REBOOT:
        return "host rebooted"
    has_container = handle is not None and any(task.container for task in handle.tasks)
    return "container removed" if has_container else "no exit code"


def _task(facts: dict[str, str]) -> FoundTask:
    started, finished = parse_time(facts.get("started")), parse_time(facts.get("finished"))
    return FoundTask(
        task=facts["task"],
        exit=None if facts["exit"] == "pending" else parse_exit_code(facts["exit"]),
        started=None if started is None else int(started),
        finished=None if finished is None else int(finished),
        killed=_KILLED.get(facts.get("killed", ""), ""),
        failed=_FAILED.get(facts.get("failed", ""), ""),
    )
