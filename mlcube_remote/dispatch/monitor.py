# SPDX-License-Identifier: Apache-2.0
"""What begins when a job has been started: following its tasks, and pulling what they made.

The client that started the job and one that attaches to it later do the same.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import DetachedError, MLCubeRemoteError, StateUnknownError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.events.outcome import PulledOutput, Status, TaskOutcome
from mlcube_remote.events.output_content import describe_output
from mlcube_remote.files.download import DownloadResult, download
from mlcube_remote.jobs.follow import follow_task
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.reconnecting import Line
from mlcube_remote.jobs.state import TaskReport, derive_outcome
from mlcube_remote.jobs.stop import STOP_GRACE_S, request_stop
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection, Reply, Stream


@attrs.define
class JobProgress:
    """What a job has come to so far, kept for the outcome whatever happens."""

    tasks: list[TaskOutcome] = attrs.field(factory=list)
    outputs: list[PulledOutput] = attrs.field(factory=list)
    launched: bool = False
    may_run: bool = False
    """Whether an earlier client may have begun the job, and nobody could ask its host yet."""
    detached: bool = False
    """Whether the job was left to itself on purpose, once it had been started."""
    handle: JobHandle | None = None


@attrs.frozen(kw_only=True)
class JobMonitor:
    """A job that has been started, and the line to its host."""

    handle: JobHandle
    run: RunContext
    events: JobEvents
    line: Line
    progress: JobProgress
    tail: int | None = None
    """Lines of each stream to begin with; ``None``: from the first byte."""
    shows_output: bool = True
    pulls: bool = True


def monitor_job(job: JobMonitor) -> None:
    """Follow the job's tasks until one fails or all have ended, and pull what they made.

    Raises:
        DetachedError: Nobody wants to follow it any more; it goes on.
        StateUnknownError: The host could not be asked any more.
    """
    line = job.line
    stopper = _Stopper(job)
    line.after.append(stopper.on_new_connection)
    with job.run.on_interrupt(job.handle.name, stop=stopper.stop, leave=line.close):
        try:
            _follow_tasks(job)
        except StateUnknownError:
            if job.run.leaving.is_set():
                raise DetachedError(job.handle.host, job.handle.run_id) from None
            raise
        finally:
            # What a failed or stopped task left comes home too.
            if job.progress.tasks and job.pulls:
                pull(job, {task.task for task in job.progress.tasks})
        if not job.pulls:
            mark_missing(job.progress, _not_made(job))


def _not_made(job: JobMonitor) -> list[DownloadRequest]:
    """Return the declared outputs of tasks that ended well which are not where they were to be."""
    well = {task.task for task in job.progress.tasks if task.status is Status.SUCCEEDED}
    missing = [
        item for item in job.handle.in_place if item.task in well and not Path(item.path).exists()
    ]
    for folder in _of_tasks(job.handle.folders, well, ()):
        for item in folder.outputs:
            kind = job.line.steadily(partial(_kind, posixpath.join(folder.remote, item.path)))
            missing += [item] if kind.text.strip() == "-" else []
    return missing


def _kind(path: str, connection: Connection) -> Reply:
    return connection.call("mlcr_kind", path)


def _follow_tasks(job: JobMonitor) -> None:
    for number, task in enumerate(job.handle.tasks, 1):
        with job.events.stage(Stage.RUN, task.task) as notes:
            job.line.connection.expect_channel()
            report = follow_task(
                job.line,
                job.handle,
                number,
                job.events.output(Stage.RUN, task.task) if job.shows_output else _discard,
                begin=begin_at(job, number),
                adopted=lambda: job.events.note(
                    Level.WARNING, "its supervisor had been killed; it was given another"
                ),
                elsewhere=lambda node: job.events.note(
                    Level.WARNING,
                    f"it runs on {node}, which shares this home: followed from here, but should "
                    f"{node} die, nobody would tell",
                ),
            )
            _tell_of_log(job, report)
            _tell_of_owners(job, task.task, report)
            ended = derive_outcome(job.handle, task, report)
            job.progress.tasks.append(ended)
            notes.detail = ended.reason or f"exit code {ended.exit_code}"
        if ended.status is not Status.SUCCEEDED:
            return


def _discard(_stream: Stream, _data: bytes) -> None:
    """Take a task's output that nobody wants to see."""


def begin_at(job: JobMonitor, number: int) -> dict[Stream, int]:
    """Return the offsets at which to begin, in bytes."""
    if job.tail is None:
        return dict.fromkeys(Stream, 0)
    lines = str(job.tail)
    begin = {}
    for stream in Stream:
        file = f"{job.handle.task_dir(number)}/{stream.value}"
        begin[stream] = int(job.line.steadily(partial(_tail, file, lines)).text or 0)
    return begin


def _tail(file: str, lines: str, connection: Connection) -> Reply:
    return connection.call("mlcr_tail", file, lines)


def _tell_of_log(job: JobMonitor, report: TaskReport) -> None:
    if report.log_is_degraded:
        job.events.note(
            Level.WARNING, "a supervisor died: some of the task's output may be missing"
        )
    if report.log_is_cut:
        job.events.note(Level.WARNING, "the task wrote more than its log may hold: it was cut")


def _tell_of_owners(job: JobMonitor, task: str, report: TaskReport) -> None:
    if report.foreign:
        places = " ".join(folder.remote for folder in job.handle.folders)
        job.events.note(
            Level.WARNING,
            f"what {task} wrote belongs to another user there, and stays so ({report.foreign}); "
            f"an administrator can mend it: chown -hR USER {places}",
        )


@attrs.define
class _Stopper:
    """Asks the host to stop the job: now, and again on a connection made since."""

    job: JobMonitor
    asked: threading.Event = attrs.field(factory=threading.Event)

    def stop(self) -> None:
        self.asked.set()
        self.job.events.note(Level.INFO, f"stopping (SIGTERM, after {STOP_GRACE_S} s SIGKILL)")
        try:
            request_stop(self.job.line.connection, self.job.handle)
        except MLCubeRemoteError as problem:
            self.job.events.note(Level.WARNING, f"not stopped yet: {problem}")

    def on_new_connection(self, connection: Connection) -> None:
        if self.asked.is_set():
            request_stop(connection, self.job.handle)


def pull(job: JobMonitor, ran: set[str], *, names: frozenset[str] = frozenset()) -> None:
    """Bring home what the tasks that ran declare; ``names``: only these outputs of theirs."""
    with job.events.stage(Stage.PULL) as notes:
        if job.handle.in_place:
            notes.skipped, notes.detail = True, "in place"
        missing = [item for item in in_place(job, ran) if not names or item.name in names]
        details, left = [], []
        for folder in _of_tasks(job.handle.folders, ran, names):
            pulled = job.line.steadily(partial(_fetch, job, folder))
            job.progress.outputs += _marked(job.progress, pulled.outputs)
            missing += pulled.missing
            left += [pulled.left] if pulled.left is not None else []
            details.append(str(pulled.moved))
        notes.detail = notes.detail or "; ".join(details) or "no outputs"
    mark_missing(job.progress, missing)
    if left:
        raise left[0]
    if job.handle.job and not names and _is_over(job):
        # Its own workspace there may go with the job's directory from now on.
        job.line.steadily(
            lambda at: at.call("mlcr_write", f"{job.handle.job_dir}/pulled", "anew", "")
        )


def _is_over(job: JobMonitor) -> bool:
    """Whether the job makes nothing any more, as far as it was followed."""
    tasks = job.progress.tasks
    over = {Status.RUNNING, Status.UNKNOWN}.isdisjoint(task.status for task in tasks)
    ended = len(tasks) == len(job.handle.tasks) or tasks[-1].status is not Status.SUCCEEDED
    return over and ended and not job.progress.detached


def _marked(progress: JobProgress, outputs: Iterable[PulledOutput]) -> list[PulledOutput]:
    """Mark what a task made that did not end well."""
    well = {task.task for task in progress.tasks if task.status is Status.SUCCEEDED}
    return [
        attrs.evolve(output, is_partial=output.is_partial or output.task not in well)
        for output in outputs
    ]


def _fetch(job: JobMonitor, folder: DownloadFolder, connection: Connection) -> DownloadResult:
    running = job.progress.detached
    names = ", ".join(item.path for item in folder.outputs)
    job.events.note(Level.DEBUG, f"pull: {names} from {folder.remote} to {folder.target}")

    def waiting() -> None:
        job.events.note(Level.INFO, "waiting: another client is pulling these outputs")

    return download(connection, folder, run=job.handle.run_id, running=running, waiting=waiting)


def _of_tasks(
    folders: Iterable[DownloadFolder], tasks: Collection[str], names: Collection[str]
) -> list[DownloadFolder]:
    """Return the folders with these outputs of these tasks alone; no names: all of them."""

    def wanted(item: DownloadRequest) -> bool:
        return item.task in tasks and (not names or item.name in names)

    narrowed = [
        attrs.evolve(folder, outputs=tuple(filter(wanted, folder.outputs))) for folder in folders
    ]
    return [folder for folder in narrowed if folder.outputs]


def in_place(job: JobMonitor, tasks: set[str]) -> list[DownloadRequest]:
    """Note the outputs of a run on this machine, and return those that are not there."""
    mine = [item for item in job.handle.in_place if item.task in tasks]
    there = [item for item in mine if Path(item.path).exists()]
    digests = Digests()
    job.progress.outputs += [
        PulledOutput(
            task=item.task,
            name=item.name,
            path=Path(item.path),
            content=describe_output(Path(item.path), digests),
        )
        for item in there
    ]
    digests.save()
    return [item for item in mine if item not in there]


def mark_missing(progress: JobProgress, missing: Sequence[DownloadRequest]) -> None:
    """Turn the success of a task that did not make what it declared into a failure."""
    for index, task in enumerate(progress.tasks):
        lacking = [item.name for item in missing if item.task == task.task]
        if lacking and task.status is Status.SUCCEEDED:
            progress.tasks[index] = attrs.evolve(
                task,
                status=Status.FAILED,
                reason=f"exited 0 but did not produce its output {', '.join(lacking)}",
            )
