# SPDX-License-Identifier: Apache-2.0
"""Work on a job that was started before, by this client or by another one."""

from __future__ import annotations

import time
from functools import partial

import attrs

from mlcube_remote.dispatch.context import JobContext, connect
from mlcube_remote.dispatch.finish import JobIdentity, JobProgress, Phase, finishing
from mlcube_remote.dispatch.monitor import FollowOptions, find_offsets, late_stop, monitor_job
from mlcube_remote.dispatch.pull import pull_into
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import HostUnfitError, NotStartedError, PlanError, StateUnknownError
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.jobs.follow import fetch_rest
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.launch import read_job_state
from mlcube_remote.jobs.log_times import Stamps
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.jobs.query import LIVE, query_host
from mlcube_remote.jobs.state import TaskReport, can_be_adopted, derive_outcome, read_task
from mlcube_remote.jobs.stop import request_stop
from mlcube_remote.transport.base import Connection

POLL_INTERVAL_S = 0.2
"""Interval for polling a job that starts or stops."""

_STOP_MARGIN_S = 30
"""Seconds beyond the grace period in which a stopped job must have ended."""


@attrs.frozen(kw_only=True)
class AttachOptions(FollowOptions):
    """How a job is followed again."""

    ends: bool = False
    """Whether to exit after showing the output that exists now."""
    repeats: bool = True
    """Whether to show jobs again that this machine has followed to their end."""

    def tail_of(self, known: RecordedJob) -> int | None:
        """Return the number of lines to start a job's output with."""
        return 0 if known.is_seen and not self.repeats else self.tail


def attach_job(known: RecordedJob, how: AttachOptions, run: RunContext) -> JobOutcome:
    """Follow a job until it has ended, and pull its outputs."""
    with (
        finishing(_identity(known), run, phase=_phase(known)) as progress,
        connect(known.host, known.name, run, progress.events) as job,
    ):
        handle = _find_handle(job, known, progress)
        while (state := _read_state(job, handle)) == "preparing":
            run.interrupts.check()
            time.sleep(POLL_INTERVAL_S)
        _require_started(handle, state)
        if how.ends:
            _show_output(job, handle, how)
            _note_detached(progress, state)
        else:
            options = attrs.evolve(how, tail=how.tail_of(known), catches_up=how.shows_output)
            monitor_job(job, handle, progress, options)
    return progress.outcome


def status_job(known: RecordedJob, run: RunContext) -> JobOutcome:
    """Return the state of a job as its outcome."""
    with (
        finishing(_identity(known), run, phase=_phase(known)) as progress,
        connect(known.host, known.name, run, progress.events) as job,
    ):
        handle = _find_handle(job, known, progress)
        state = _read_state(job, handle)
        if state == "preparing":
            progress.phase = Phase.DETACHED
        else:
            _require_started(handle, state)
            progress.tasks += _read_tasks(job, handle)
            _use_times_of_host(progress)
            _note_detached(progress, state)
    return progress.outcome


def stop_job(known: RecordedJob, run: RunContext, *, grace: int | None = None) -> JobOutcome:
    """Ask a job to stop, wait until it has ended, and return its outcome."""
    with (
        finishing(_identity(known), run, phase=_phase(known)) as progress,
        connect(known.host, known.name, run, progress.events) as job,
    ):
        handle = _find_handle(job, known, progress)
        state = _read_state(job, handle)
        _require_present(handle, state)
        if state in LIVE:
            _stop(job, handle, handle.grace if grace is None else grace)
        else:
            job.info("nothing to do: it has ended")
        if state != "preparing":
            progress.tasks += _read_tasks(job, handle)
            _use_times_of_host(progress)
        if state in LIVE and (text := late_stop(progress.tasks)):
            job.info(text)
    return progress.outcome


def pull_job(
    known: RecordedJob, run: RunContext, *, names: frozenset[str] = frozenset()
) -> JobOutcome:
    """Pull the outputs that a job has made so far.

    Args:
        known: The job.
        run: How to connect to its host.
        names: Outputs to pull; empty: all.
    """
    with (
        finishing(_identity(known), run, phase=_phase(known)) as progress,
        connect(known.host, known.name, run, progress.events) as job,
    ):
        handle = _find_handle(job, known, progress)
        state = _read_state(job, handle)
        _require_started(handle, state)
        tasks = _read_tasks(job, handle)
        started = {task.task for task in tasks if task.status is not Status.NOT_STARTED}
        progress.tasks += tasks
        _note_detached(progress, state)
        _require_outputs(handle, names)
        pull_into(job, handle, progress, started, names=names)
    return progress.outcome


def _phase(known: RecordedJob) -> Phase:
    """Return what is known of a job before its host answers."""
    return Phase.LAUNCHED if known.may_run else Phase.NOT_LAUNCHED


def _identity(known: RecordedJob) -> JobIdentity:
    handle = known.handle
    return JobIdentity(
        run_id=known.run_id,
        job_id=known.job_id,
        host=known.host.name,
        job=known.job,
        attempt=known.attempt,
        parameters=handle.parameters if handle else {},
        platform=handle.platform if handle else "",
        tasks=tuple(task.task for task in handle.tasks) if handle else (),
    )


def _find_handle(job: JobContext, known: RecordedJob, progress: JobProgress) -> JobHandle:
    """Return the job's handle: as recorded on this machine, else from its host."""
    handle = known.handle or job.connection.retrying(partial(read_handle, known))
    job.connection.attach_hint = f"mlcube-remote attach {handle.run_id}"
    progress.handle = handle
    progress.phase = Phase.LAUNCHED  # the host answers, and its answer counts
    return handle


def read_handle(known: RecordedJob, connection: Connection) -> JobHandle:
    """Return the handle of a job that its host has.

    Raises:
        NotStartedError: The host has none.
    """
    for job in query_host(connection, known.host, everything=True):
        if job.job_id == known.job_id and job.handle is not None:
            return job.handle
    raise NotStartedError(
        known.host.name,
        "the job was not started: its client exited before that, or it was removed",
        hint=f"run it again: mlcube-remote rerun {known.run_id} --failed",
    )


def _read_state(job: JobContext, handle: JobHandle) -> str:
    return job.connection.retrying(lambda at: read_job_state(at, handle))


def _note_detached(progress: JobProgress, state: str) -> None:
    """Note that the job still runs, if it does."""
    if state in LIVE:
        progress.phase = Phase.DETACHED


def _use_times_of_host(progress: JobProgress) -> None:
    """Replace the times of this command, such as the login, by those of the job's tasks."""
    known = [task.seconds for task in progress.tasks if task.seconds is not None]
    progress.events.seconds = {Stage.RUN.value: sum(known)} if known else {}


def _show_output(job: JobContext, handle: JobHandle, how: AttachOptions) -> None:
    """Show what the job's tasks have written so far."""
    for number, task in enumerate(handle.tasks, 1):
        offsets = find_offsets(job, handle, number, how)
        sink = job.events.output(Stage.RUN, task.task)
        stamps = Stamps(sink) if how.timestamps else None
        fetch = partial(fetch_rest, handle, number, offsets, tail=how.tail, stamps=stamps)
        job.connection.retrying(
            partial(fetch, stamps or sink), transferred=partial(sum, offsets.values())
        )


def _stop(job: JobContext, handle: JobHandle, grace: int) -> None:
    job.connection.retrying(lambda at: request_stop(at, handle, grace))
    deadline = time.monotonic() + grace + _STOP_MARGIN_S
    while _read_state(job, handle) in LIVE:
        if time.monotonic() > deadline:
            raise StateUnknownError(
                handle.host,
                "the job was asked to stop and still runs",
                hint=f"mlcube-remote status {handle.run_id}",
            )
        time.sleep(POLL_INTERVAL_S)


def _require_outputs(handle: JobHandle, names: frozenset[str]) -> None:
    known = {item.name for folder in handle.folders for item in folder.outputs}
    known |= {item.name for item in handle.in_place}
    if unknown := sorted(names - known):
        raise PlanError(
            f"{handle.host}: the run has no output {', '.join(unknown)}",
            hint=f"it has: {', '.join(sorted(known)) or 'none'}",
        )


def _require_started(handle: JobHandle, state: str) -> None:
    _require_present(handle, state)
    if state == "abandoned":
        raise NotStartedError(
            handle.host,
            "the job was not started: its client exited before that",
            hint=f"on the machine that started it: mlcube-remote rerun {handle.run_id} --failed",
        )


def _require_present(handle: JobHandle, state: str) -> None:
    if state in {"", "absent"}:
        raise NotStartedError(
            handle.host,
            f"run {handle.run_id} has no job on this host: it was never started, or was removed",
            hint=f"mlcube-remote ps --all --host={handle.host}",
        )


def _read_tasks(job: JobContext, handle: JobHandle) -> list[TaskOutcome]:
    """Return the state of each task; those after one that has failed have not started."""
    return job.connection.retrying(partial(_read_outcomes, handle))


def _read_outcomes(handle: JobHandle, connection: Connection) -> list[TaskOutcome]:
    outcomes: list[TaskOutcome] = []
    is_over = False
    for number, task in enumerate(handle.tasks, 1):
        if is_over:
            outcomes.append(TaskOutcome(task=task.task, status=Status.NOT_STARTED))
            continue
        report = read_task(connection, handle, number)
        outcomes.append(_current_outcome(handle, number, report))
        is_over = report.exit not in {None, 0} or not (report.alive or report.exit == 0)
    return outcomes


def _current_outcome(handle: JobHandle, number: int, report: TaskReport) -> TaskOutcome:
    task = handle.tasks[number - 1]
    if report.queued is not None:
        return TaskOutcome(
            task=task.task, status=Status.QUEUED, reason=f"queued by Slurm: {report.queued}"
        )
    if report.exit is None and (report.alive or can_be_adopted(report)):
        status = Status.NOT_STARTED if report.started is None else Status.RUNNING
        started = None if report.started is None else int(report.started)
        return TaskOutcome(task=task.task, status=status, started=started)
    try:
        return derive_outcome(handle, task, report)
    except HostUnfitError as problem:
        return TaskOutcome(
            task=task.task, status=Status.FAILED, exit_code=report.exit, reason=problem.reason
        )
