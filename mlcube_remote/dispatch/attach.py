# SPDX-License-Identifier: Apache-2.0
"""Working on a job that was begun before, here or on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import attrs

from mlcube_remote.dispatch.finish import finish_job
from mlcube_remote.dispatch.monitor import JobMonitor, JobProgress, begin_at, monitor_job, pull
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import HostUnfitError, NotStartedError, PlanError, StateUnknownError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.jobs.follow import fetch_rest
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import read_job_state
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.jobs.query import LIVE, query_host
from mlcube_remote.jobs.state import TaskReport, can_be_adopted, derive_outcome, read_task
from mlcube_remote.jobs.stop import STOP_GRACE_S, request_stop
from mlcube_remote.transport.base import Connection

_LOOKS = 0.2
"""Seconds between two looks at a job that is stopping."""


@attrs.frozen(kw_only=True)
class AttachOptions:
    """How a job is followed again."""

    tail: int | None = None
    """Lines of each stream to begin with; ``None``: from the first byte."""
    shows_output: bool = True
    pulls: bool = True
    ends: bool = False
    """Whether to end when what there is by now has been shown."""
    repeats: bool = True
    """Whether to show what this machine has seen to its end, too."""

    def tail_of(self, known: RecordedJob) -> int | None:
        """Return the lines to begin a job's output with."""
        return 0 if known.is_seen and not self.repeats else self.tail


def attach_job(known: RecordedJob, how: AttachOptions, run: RunContext) -> JobOutcome:
    """Follow a job until it has ended, and pull what it made."""

    def work(job: JobMonitor) -> None:
        while (
            found := job.line.steadily(lambda at: read_job_state(at, job.handle))
        ) == "preparing":
            run.check()
            time.sleep(_LOOKS)
        _require_started(job.handle, found)
        if how.ends:
            _show(job, how)
            job.progress.detached = found in LIVE
            return
        tail = how.tail_of(known)
        monitor_job(attrs.evolve(job, tail=tail, shows_output=how.shows_output, pulls=how.pulls))

    return _on_host(known, run, work)


def _show(job: JobMonitor, how: AttachOptions) -> None:
    """Show what the job's tasks have written by now."""
    for number, task in enumerate(job.handle.tasks, 1):
        begin = begin_at(attrs.evolve(job, tail=how.tail), number)
        sink = job.events.output(Stage.RUN, task.task)
        job.line.steadily(partial(fetch_rest, job.handle, number, begin, sink))


def status_job(known: RecordedJob, run: RunContext) -> JobOutcome:
    """Tell how a job stands."""

    def work(job: JobMonitor) -> None:
        found = job.line.steadily(lambda at: read_job_state(at, job.handle))
        if found == "preparing":
            job.progress.detached = True
            return
        _require_started(job.handle, found)
        job.progress.tasks += job.line.steadily(lambda at: _verdicts(at, job.handle))
        job.progress.detached = found in LIVE

    return _on_host(known, run, work)


def stop_job(known: RecordedJob, run: RunContext, *, grace: int = STOP_GRACE_S) -> JobOutcome:
    """Ask a job to stop, wait until it has, and tell how it ended."""

    def work(job: JobMonitor) -> None:
        found = job.line.steadily(lambda at: read_job_state(at, job.handle))
        _require_present(job.handle, found)
        if found not in LIVE:
            job.events.note(Level.INFO, "nothing to do: it has ended")
        else:
            job.line.steadily(lambda at: request_stop(at, job.handle, grace))
            deadline = time.monotonic() + grace + 30
            while job.line.steadily(lambda at: read_job_state(at, job.handle)) in LIVE:
                if time.monotonic() > deadline:
                    raise StateUnknownError(
                        job.handle.host,
                        "it was asked to stop and still runs",
                        hint=f"mlcube-remote status {job.handle.run_id}",
                    )
                time.sleep(_LOOKS)
        if found != "preparing":
            job.progress.tasks += job.line.steadily(lambda at: _verdicts(at, job.handle))

    return _on_host(known, run, work)


def pull_job(
    known: RecordedJob, run: RunContext, *, names: frozenset[str] = frozenset()
) -> JobOutcome:
    """Bring home what a job has made so far.

    Args:
        known: The job.
        run: How to reach it.
        names: Outputs to pull; none: all.
    """

    def work(job: JobMonitor) -> None:
        found = job.line.steadily(lambda at: read_job_state(at, job.handle))
        _require_started(job.handle, found)
        tasks = job.line.steadily(lambda at: _verdicts(at, job.handle))
        begun = {task.task for task in tasks if task.status is not Status.NOT_STARTED}
        _require_outputs(job.handle, names)
        job.progress.tasks += tasks
        job.progress.detached = found in LIVE
        pull(job, begun, names=names)

    return _on_host(known, run, work)


def _require_outputs(handle: JobHandle, names: frozenset[str]) -> None:
    known = {item.name for folder in handle.folders for item in folder.outputs}
    known |= {item.name for item in handle.in_place}
    if unknown := sorted(names - known):
        raise PlanError(
            f"{handle.host}: the run has no output {', '.join(unknown)}",
            hint=f"it has: {', '.join(sorted(known)) or 'none'}",
        )


def _require_started(handle: JobHandle, found: str) -> None:
    _require_present(handle, found)
    if found == "abandoned":
        raise NotStartedError(
            handle.host,
            "the job was not started: its client vanished before that",
            hint=f"run it again, with --run-id={handle.run_id} where it was begun",
        )


def _require_present(handle: JobHandle, found: str) -> None:
    if found in {"", "absent"}:
        raise NotStartedError(
            handle.host,
            f"run {handle.run_id} has no job there: it was never started, or was cleaned away",
            hint=f"mlcube-remote ps --all --host={handle.host}",
        )


def _verdicts(connection: Connection, handle: JobHandle) -> list[TaskOutcome]:
    """Return how each task stands; those that cannot begin any more did not start."""
    outcomes: list[TaskOutcome] = []
    over = False
    for number, task in enumerate(handle.tasks, 1):
        if over:
            outcomes.append(TaskOutcome(task=task.task, status=Status.NOT_STARTED))
            continue
        told = read_task(connection, handle, number)
        outcomes.append(_standing(handle, number, told))
        over = told.exit not in {None, 0} or not (told.alive or told.exit == 0)
    return outcomes


def _standing(handle: JobHandle, number: int, told: TaskReport) -> TaskOutcome:
    task = handle.tasks[number - 1]
    if told.exit is None and (told.alive or can_be_adopted(told)):
        begun = told.started is not None
        return TaskOutcome(task=task.task, status=Status.RUNNING if begun else Status.NOT_STARTED)
    try:
        return derive_outcome(handle, task, told)
    except HostUnfitError as problem:
        return TaskOutcome(
            task=task.task, status=Status.FAILED, exit_code=told.exit, reason=problem.reason
        )


def _on_host(known: RecordedJob, run: RunContext, work: Callable[[JobMonitor], None]) -> JobOutcome:
    """Connect, find the job's ticket, and do the work on it."""
    host = known.host
    handle = known.handle
    events = JobEvents(host=host.name, job=known.job, began=run.began, sink=run.sink)

    def whole(progress: JobProgress) -> None:
        run.check()
        # It was begun before: until its host has said otherwise, it may run.
        progress.launched = True
        with run.line(host, events) as line:
            found = handle or line.steadily(lambda at: _ask_ticket(at, known))
            line.attach_hint = f"mlcube-remote attach {found.run_id}"
            progress.handle = found
            work(JobMonitor(handle=found, run=run, events=events, line=line, progress=progress))

    return finish_job(
        whole,
        job=(known.run_id, known.job_id),
        platform=handle.platform if handle else "",
        tasks=[task.task for task in handle.tasks] if handle else [],
        run=run,
        events=events,
        attempt=known.attempt,
    )


def _ask_ticket(connection: Connection, known: RecordedJob) -> JobHandle:
    for job in query_host(connection, known.host, everything=True):
        if job.job_id == known.job_id and job.handle is not None:
            return job.handle
    raise NotStartedError(
        known.host.name,
        "the job was not started: its client vanished before that, or it was cleaned away",
        hint="run it again",
    )
