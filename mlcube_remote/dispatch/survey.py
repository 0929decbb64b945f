# SPDX-License-Identifier: Apache-2.0
"""Asking hosts which jobs they have: what they say counts, this machine's record is a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import attrs

from mlcube_remote.dispatch.preflight import records
from mlcube_remote.dispatch.ticket import Ticket, TicketError, from_host
from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Connection

LIVE = ("preparing", "running", "orphaned", "elsewhere")
"""States of jobs that may still do something."""

_PATIENCE = 60.0

_KILLED = {"time": "out of its time", "memory": "out of memory", "engine": "engine restarted"}
"""What ended a task, as hosts tell it → as users read it."""


@attrs.frozen(kw_only=True)
class SurveyedTask:
    """One task, as its host tells it."""

    task: str
    exit: int | None
    started: int | None
    finished: int | None
    killed: str = ""
    """What ended it, if that was neither itself nor somebody who asked for it."""


@attrs.frozen(kw_only=True)
class SurveyedJob:
    """One job, as its host tells it."""

    host: str
    job_id: str
    state: str
    """As ``mlcr_print_job_state`` says it: one of :data:`LIVE`, or ended, lost or abandoned."""
    age: int
    """Seconds since it was begun, by the host's clock."""
    ticket: Ticket | None
    """``None`` where the host has none that can be read."""
    tasks: tuple[SurveyedTask, ...] = ()
    is_stopping: bool = False

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to, where that can be read."""
        return None if self.ticket is None else self.ticket.run_id

    @property
    def is_live(self) -> bool:
        """Whether it may still do something."""
        return self.state in LIVE

    @property
    def current(self) -> SurveyedTask | None:
        """The task that runs, or else the last that ended."""
        begun = [task for task in self.tasks if task.started is not None]
        return begun[-1] if begun else None

    @property
    def shown_state(self) -> str:
        """The state in the words that a user sees."""
        if self.state == "ended":
            ended = [task for task in self.tasks if task.exit is not None]
            if ended and ended[-1].exit != 0:
                killed = ended[-1].killed
                if killed == _KILLED["time"] or (killed and not self.is_stopping):
                    return f"killed ({killed})"
                return f"failed ({ended[-1].exit})" if not self.is_stopping else "cancelled"
            return "succeeded" if len(ended) == len(self.tasks) else "cancelled"
        if self.state == "abandoned":
            return "not-started"
        if self.state == "running" and self.is_stopping:
            return "stopping"
        return "running" if self.state == "orphaned" else self.state


@attrs.frozen(kw_only=True)
class HostSurvey:
    """What one host answered."""

    host: Host
    jobs: tuple[SurveyedJob, ...] = ()
    error: HostError | None = None
    """Why it could not be asked."""


def survey_all(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    everything: bool,
    parallel: int = 32,
) -> tuple[HostSurvey, ...]:
    """Ask hosts at once; one that cannot be asked is an answer too.

    Args:
        hosts: Whom to ask.
        connect: Opens a connection.
        everything: Whether jobs that ended count too.
        parallel: How many at a time.
    """

    def ask(host: Host) -> HostSurvey:
        try:
            with closing(connect(host)) as connection:
                return HostSurvey(host=host, jobs=survey(connection, host, everything=everything))
        except HostError as problem:
            return HostSurvey(host=host, error=problem)

    todo = list(hosts)
    with ThreadPoolExecutor(max(1, min(parallel, len(todo)))) as pool:
        return tuple(pool.map(ask, todo))


def survey(connection: Connection, host: Host, *, everything: bool) -> tuple[SurveyedJob, ...]:
    """Ask one host for the jobs of this user there.

    Raises:
        HostUnfitError: Its answer makes no sense.
        StateUnknownError: It does not answer.
    """
    words = ("all",) if everything else ()
    reply = connection.call("mlcr_report_jobs", host.remote_root, *words, timeout=_PATIENCE)
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostUnfitError(host.name, f"its jobs cannot be listed: {said}")
    try:
        return tuple(_job(host, facts) for facts in _split(records(reply), "job"))
    except (KeyError, ValueError) as problem:
        raise HostUnfitError(
            host.name, f"its list of jobs was not understood ({problem})"
        ) from problem


Facts = Sequence[tuple[str, str]]


def _split(facts: Facts, key: str) -> list[Facts]:
    """Split facts into groups that each begin with ``key``; what comes before is left out."""
    begins = [index for index, (name, _) in enumerate(facts) if name == key]
    return [facts[begin:end] for begin, end in pairwise([*begins, len(facts)])]


def _job(host: Host, facts: Facts) -> SurveyedJob:
    groups = _split(facts, "task")
    own = dict(facts[: len(facts) - sum(map(len, groups))])
    try:
        ticket = from_host(own.get("request", ""), Path.cwd())
    except TicketError:
        ticket = None
    return SurveyedJob(
        host=host.name,
        job_id=own["job"],
        state=own["state"],
        age=max(0, int(own.get("age") or 0)),
        ticket=ticket,
        is_stopping=own.get("stop") == "yes",
        tasks=tuple(_task(dict(group)) for group in groups),
    )


def _task(told: dict[str, str]) -> SurveyedTask:
    return SurveyedTask(
        task=told["task"],
        exit=None if told["exit"] == "pending" else int(told["exit"]),
        started=int(told["started"]) if told.get("started") else None,
        finished=int(told["finished"]) if told.get("finished") else None,
        killed=_KILLED.get(told.get("killed", ""), ""),
    )
