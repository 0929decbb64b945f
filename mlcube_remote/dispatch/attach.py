# SPDX-License-Identifier: Apache-2.0
"""Working on a job that was begun before, here or on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import attrs

from mlcube_remote.dispatch.finish import conclude
from mlcube_remote.dispatch.monitor import Reached, Watch, begin_at, pull, watch
from mlcube_remote.dispatch.run_context import Run
from mlcube_remote.errors import HostUnfitError, NotStartedError, PlanError, StateUnknownError
from mlcube_remote.events.emitter import Journal
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.jobs.follow import fetch_rest
from mlcube_remote.jobs.handle import Ticket
from mlcube_remote.jobs.launch import state
from mlcube_remote.jobs.lookup import KnownJob
from mlcube_remote.jobs.query import LIVE, survey
from mlcube_remote.jobs.state import Verdict, ask, can_be_adopted, judge
from mlcube_remote.jobs.stop import GRACE, stop
from mlcube_remote.transport.base import Connection

_LOOKS = 0.2
"""Seconds between two looks at a job that is stopping."""


@attrs.frozen(kw_only=True)
class Following:
    """How a job is followed again."""

    tail: int | None = None
    """Lines of each stream to begin with; ``None``: from the first byte."""
    shows_output: bool = True
    pulls: bool = True
    ends: bool = False
    """Whether to end when what there is by now has been shown."""
    repeats: bool = True
    """Whether to show what this machine has seen to its end, too."""

    def tail_of(self, known: KnownJob) -> int | None:
        """Return the lines to begin a job's output with."""
        return 0 if known.is_seen and not self.repeats else self.tail


def attach_job(known: KnownJob, how: Following, run: Run) -> JobOutcome:
    """Follow a job until it has ended, and pull what it made."""

    def work(job: Watch) -> None:
        while (found := job.line.steadily(lambda at: state(at, job.ticket))) == "preparing":
            run.check()
            time.sleep(_LOOKS)
        _require_started(job.ticket, found)
        if how.ends:
            _show(job, how)
            job.reached.detached = found in LIVE
            return
        tail = how.tail_of(known)
        watch(attrs.evolve(job, tail=tail, shows_output=how.shows_output, pulls=how.pulls))

    return _on_host(known, run, work)


def _show(job: Watch, how: Following) -> None:
    """Show what the job's tasks have written by now."""
    for number, task in enumerate(job.ticket.tasks, 1):
        begin = begin_at(attrs.evolve(job, tail=how.tail), number)
        sink = job.journal.output(Stage.RUN, task.task)
        job.line.steadily(partial(fetch_rest, job.ticket, number, begin, sink))


def look_job(known: KnownJob, run: Run) -> JobOutcome:
    """Tell how a job stands."""

    def work(job: Watch) -> None:
        found = job.line.steadily(lambda at: state(at, job.ticket))
        if found == "preparing":
            job.reached.detached = True
            return
        _require_started(job.ticket, found)
        job.reached.tasks += job.line.steadily(lambda at: _verdicts(at, job.ticket))
        job.reached.detached = found in LIVE

    return _on_host(known, run, work)


def stop_job(known: KnownJob, run: Run, *, grace: int = GRACE) -> JobOutcome:
    """Ask a job to stop, wait until it has, and tell how it ended."""

    def work(job: Watch) -> None:
        found = job.line.steadily(lambda at: state(at, job.ticket))
        _require_present(job.ticket, found)
        if found not in LIVE:
            job.journal.note(Level.INFO, "nothing to do: it has ended")
        else:
            job.line.steadily(lambda at: stop(at, job.ticket, grace))
            deadline = time.monotonic() + grace + 30
            while job.line.steadily(lambda at: state(at, job.ticket)) in LIVE:
                if time.monotonic() > deadline:
                    raise StateUnknownError(
                        job.ticket.host,
                        "it was asked to stop and still runs",
                        hint=f"mlcube-remote status {job.ticket.run_id}",
                    )
                time.sleep(_LOOKS)
        if found != "preparing":
            job.reached.tasks += job.line.steadily(lambda at: _verdicts(at, job.ticket))

    return _on_host(known, run, work)


def pull_job(known: KnownJob, run: Run, *, names: frozenset[str] = frozenset()) -> JobOutcome:
    """Bring home what a job has made so far.

    Args:
        known: The job.
        run: How to reach it.
        names: Outputs to pull; none: all.
    """

    def work(job: Watch) -> None:
        found = job.line.steadily(lambda at: state(at, job.ticket))
        _require_started(job.ticket, found)
        tasks = job.line.steadily(lambda at: _verdicts(at, job.ticket))
        begun = {task.task for task in tasks if task.status is not Status.NOT_STARTED}
        _require_outputs(job.ticket, names)
        job.reached.tasks += tasks
        job.reached.detached = found in LIVE
        pull(job, begun, names=names)

    return _on_host(known, run, work)


def _require_outputs(ticket: Ticket, names: frozenset[str]) -> None:
    known = {item.name for folder in ticket.folders for item in folder.outputs}
    known |= {item.name for item in ticket.in_place}
    if unknown := sorted(names - known):
        raise PlanError(
            f"{ticket.host}: the run has no output {', '.join(unknown)}",
            hint=f"it has: {', '.join(sorted(known)) or 'none'}",
        )


def _require_started(ticket: Ticket, found: str) -> None:
    _require_present(ticket, found)
    if found == "abandoned":
        raise NotStartedError(
            ticket.host,
            "the job was not started: its client vanished before that",
            hint=f"run it again, with --run-id={ticket.run_id} where it was begun",
        )


def _require_present(ticket: Ticket, found: str) -> None:
    if found in {"", "absent"}:
        raise NotStartedError(
            ticket.host,
            f"run {ticket.run_id} has no job there: it was never started, or was cleaned away",
            hint=f"mlcube-remote ps --all --host={ticket.host}",
        )


def _verdicts(connection: Connection, ticket: Ticket) -> list[TaskOutcome]:
    """Return how each task stands; those that cannot begin any more did not start."""
    outcomes: list[TaskOutcome] = []
    over = False
    for number, task in enumerate(ticket.tasks, 1):
        if over:
            outcomes.append(TaskOutcome(task=task.task, status=Status.NOT_STARTED))
            continue
        told = ask(connection, ticket, number)
        outcomes.append(_standing(ticket, number, told))
        over = told.exit not in {None, 0} or not (told.alive or told.exit == 0)
    return outcomes


def _standing(ticket: Ticket, number: int, told: Verdict) -> TaskOutcome:
    task = ticket.tasks[number - 1]
    if told.exit is None and (told.alive or can_be_adopted(told)):
        begun = told.started is not None
        return TaskOutcome(task=task.task, status=Status.RUNNING if begun else Status.NOT_STARTED)
    try:
        return judge(ticket, task, told)
    except HostUnfitError as problem:
        return TaskOutcome(
            task=task.task, status=Status.FAILED, exit_code=told.exit, reason=problem.reason
        )


def _on_host(known: KnownJob, run: Run, work: Callable[[Watch], None]) -> JobOutcome:
    """Connect, find the job's ticket, and do the work on it."""
    host = known.host
    ticket = known.ticket
    journal = Journal(host=host.name, job=known.job, began=run.began, sink=run.sink)

    def whole(reached: Reached) -> None:
        run.check()
        # It was begun before: until its host has said otherwise, it may run.
        reached.launched = True
        with run.line(host, journal) as line:
            found = ticket or line.steadily(lambda at: _ask_ticket(at, known))
            line.attach_hint = f"mlcube-remote attach {found.run_id}"
            reached.ticket = found
            work(Watch(ticket=found, run=run, journal=journal, line=line, reached=reached))

    return conclude(
        whole,
        job=(known.run_id, known.job_id),
        platform=ticket.platform if ticket else "",
        tasks=[task.task for task in ticket.tasks] if ticket else [],
        run=run,
        journal=journal,
        attempt=known.attempt,
    )


def _ask_ticket(connection: Connection, known: KnownJob) -> Ticket:
    for job in survey(connection, known.host, everything=True):
        if job.job_id == known.job_id and job.ticket is not None:
            return job.ticket
    raise NotStartedError(
        known.host.name,
        "the job was not started: its client vanished before that, or it was cleaned away",
        hint="run it again",
    )
