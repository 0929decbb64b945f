# SPDX-License-Identifier: Apache-2.0
"""From a job's progress, and the error that ended it, to its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

import attrs

from mlcube_remote.dispatch.interrupts import Interrupts
from mlcube_remote.dispatch.provenance import Origin, describe_origin
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import (
    CancelledError,
    ConnectError,
    DetachedError,
    MLCubeRemoteError,
    NotStartedError,
    StateUnknownError,
    StoppedByUserError,
    UnexpectedError,
)
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.files.sent_outputs import SentFolder
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.records import record_outcome
from mlcube_remote.jobs.task_logs import TaskLogs

_UNREACHABLE = (StateUnknownError, ConnectError)
"""Errors after which a launched job may still run."""


class Phase(Enum):
    """How far a job has come, as far as this client knows."""

    NOT_LAUNCHED = "not launched"
    MAY_RUN = "may run"
    """An earlier client may have launched it, and its host has not been asked yet."""
    LAUNCHED = "launched"
    """It runs or has run; or the answer to its launch is not known."""
    DETACHED = "detached"
    """It was launched, and this client does not follow it to its end."""


@attrs.frozen(kw_only=True)
class JobIdentity:
    """What an outcome says about its job, whatever happens."""

    run_id: str
    job_id: str
    host: str
    job: str = ""
    """The job's name in a sweep; empty if each host has one job."""
    attempt: int = 1
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """Values of the sweep point."""
    platform: str
    tasks: tuple[str, ...]


@attrs.define
class JobProgress:
    """How far a job has come; its outcome is derived from this."""

    events: JobEvents
    phase: Phase = Phase.NOT_LAUNCHED
    handle: JobHandle | None = None
    tasks: list[TaskOutcome] = attrs.field(factory=list)
    outputs: list[PulledOutput] = attrs.field(factory=list)
    origin: Origin = attrs.field(factory=Origin)
    logs: dict[str, TaskLogs] = attrs.field(factory=dict)
    """Task → its logs."""
    sent: Mapping[int, SentFolder] = attrs.field(factory=dict)
    """Outputs that came with the end of the last task, by the number of their folder."""
    outcome: JobOutcome = attrs.field(init=False)
    """Set at the end of :func:`finishing`."""

    @property
    def is_launched(self) -> bool:
        """Whether this client knows, or must assume, that the job was launched."""
        return self.phase in {Phase.LAUNCHED, Phase.DETACHED}


@contextmanager
def finishing(
    job: JobIdentity, run: RunContext, *, phase: Phase = Phase.NOT_LAUNCHED
) -> Iterator[JobProgress]:
    """Turn the end of the block, or the error in it, into the job's outcome, and record it.

    Args:
        job: The job.
        run: Its run.
        phase: What is known about the job before the block.
    """
    progress = JobProgress(run.job_events(job.host, job.job), phase)
    if job.parameters:
        progress.events.trial(job.parameters)
    error: MLCubeRemoteError | None = None
    try:
        yield progress
    except MLCubeRemoteError as problem:
        error = problem
        # The error of a connection that an interrupt has closed is of no interest.
        is_said = isinstance(problem, (DetachedError, CancelledError))
        if not is_said and _was_ended(run.interrupts, progress):
            error = _interruption(run.interrupts, progress)
    except Exception as bug:  # noqa: BLE001 - reported with its traceback; other jobs continue
        error = UnexpectedError(job.host, f"a bug in mlcube-remote: {bug!r}")
        error.__cause__ = bug
    progress.outcome = _outcome(job, progress, run.interrupts, error)
    if run.store is not None:
        record_outcome(
            run.store,
            job.run_id,
            job.job_id,
            progress.outcome,
            progress.handle,
            origin=describe_origin(progress.origin, run.sources) if progress.is_launched else None,
            logs={task: logs.digests() for task, logs in progress.logs.items()},
        )


def _was_ended(interrupts: Interrupts, progress: JobProgress) -> bool:
    is_detached_early = interrupts.detaching.is_set() and not progress.is_launched
    return interrupts.stopping.is_set() or is_detached_early


def _interruption(interrupts: Interrupts, progress: JobProgress) -> StoppedByUserError:
    """Return the error of a job that an interrupt has ended."""
    if interrupts.stopping.is_set() or progress.phase is not Phase.NOT_LAUNCHED:
        return interrupts.error()
    return StoppedByUserError("interrupted before the job had started, so it does not run")


def _outcome(
    job: JobIdentity,
    progress: JobProgress,
    interrupts: Interrupts,
    error: MLCubeRemoteError | None,
) -> JobOutcome:
    status = _status(progress, error)
    if status is Status.CANCELLED and error is None:
        reason = interrupts.error()
        error = reason if isinstance(reason, CancelledError) else None
    handle = progress.handle
    return JobOutcome(
        host=job.host,
        job=job.job,
        attempt=job.attempt,
        parameters=job.parameters if handle is None else handle.parameters,
        platform=job.platform,
        status=status,
        tasks=_all_tasks(job.tasks, progress, error),
        error=error,
        seconds=progress.events.seconds,
        outputs=tuple(progress.outputs),
    )


def _status(progress: JobProgress, error: MLCubeRemoteError | None) -> Status:
    if isinstance(error, DetachedError):
        return Status.RUNNING
    if progress.phase is Phase.MAY_RUN and error is not None:
        return Status.UNKNOWN
    if isinstance(error, _UNREACHABLE):
        return Status.UNKNOWN if progress.is_launched else Status.NOT_STARTED
    if isinstance(error, NotStartedError):
        return Status.NOT_STARTED
    for task in progress.tasks:
        if task.status is not Status.SUCCEEDED:
            return task.status
    if isinstance(error, StoppedByUserError):
        # A launched job whose end was not seen may have ended before the stop.
        return Status.UNKNOWN if progress.is_launched else Status.CANCELLED
    if error is not None:
        return Status.FAILED if progress.is_launched else Status.NOT_STARTED
    return _detached_status(progress) if progress.phase is Phase.DETACHED else Status.SUCCEEDED


def _detached_status(progress: JobProgress) -> Status:
    """Return the state of a job that this client has launched, and then not looked at."""
    handle = progress.handle
    is_submitted = handle is not None and handle.launcher is Launcher.SLURM
    return Status.QUEUED if is_submitted and not progress.tasks else Status.RUNNING


def _all_tasks(
    tasks: tuple[str, ...], progress: JobProgress, error: MLCubeRemoteError | None
) -> tuple[TaskOutcome, ...]:
    """Return an outcome for every task of the job, those that did not start included."""
    done = list(progress.tasks)
    rest = list(tasks[len(done) :])
    if rest and progress.is_launched and not isinstance(error, NotStartedError):
        if isinstance(error, DetachedError):
            done.append(TaskOutcome(task=rest.pop(0), status=Status.RUNNING))
        elif progress.phase is Phase.DETACHED:
            done.append(TaskOutcome(task=rest.pop(0), status=_detached_status(progress)))
        elif isinstance(error, _UNREACHABLE):
            done.append(TaskOutcome(task=rest.pop(0), status=Status.UNKNOWN))
    return (*done, *(TaskOutcome(task=task, status=Status.NOT_STARTED) for task in rest))
