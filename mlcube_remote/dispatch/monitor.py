# SPDX-License-Identifier: Apache-2.0
"""Follow the tasks of a launched job until they end, and pull their outputs.

The client that launched the job does this, and so does one that attaches to it later.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.finish import JobProgress
from mlcube_remote.dispatch.pull import apply_missing, pull_into, select_outputs
from mlcube_remote.dispatch.queued import wait_in_queue
from mlcube_remote.errors import (
    DetachedError,
    DetachedPullError,
    MLCubeRemoteError,
    StateUnknownError,
    TransferError,
)
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import OPEN, Status, TaskOutcome
from mlcube_remote.events.output_state import unchanged_outputs
from mlcube_remote.facts.path_kind import read_kind
from mlcube_remote.jobs.follow import follow_task
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.state import TaskReport, derive_outcome, read_task
from mlcube_remote.jobs.stop import request_stop
from mlcube_remote.jobs.task_logs import TaskLogs
from mlcube_remote.plan.outputs import DownloadRequest
from mlcube_remote.transport.base import Connection, OutputSink, Stream

if TYPE_CHECKING:
    from mlcube_remote.jobs.since import Since


@attrs.frozen(kw_only=True)
class FollowOptions:
    """How a job is followed."""

    tail: int | None = None
    """Number of lines of each task to start with; ``None``: from the first byte."""
    catches_up: bool = False
    """Whether the tasks may have written much already; that is shown in the recorded order."""
    since: Since | None = None
    """Time of arrival of the first output that is shown; ``None``: from the first byte."""
    timestamps: bool = False
    """Whether each line of output has the time of its arrival on the host."""
    shows_output: bool = True
    pulls: bool = True
    """Whether outputs are downloaded."""


_DEFAULTS = FollowOptions()


def monitor_job(
    job: JobContext, handle: JobHandle, progress: JobProgress, options: FollowOptions = _DEFAULTS
) -> None:
    """Follow the tasks until one fails or all have ended, and pull their outputs.

    Raises:
        DetachedError: The user detached; the job continues.
        StateUnknownError: The host no longer answers.
    """
    stopper = _Stopper(job, handle)
    job.reconnect.stop = stopper.repeat
    interrupts = job.run.interrupts
    with interrupts.handled_by(handle.name, stop=stopper.stop, detach=job.connection.close):
        try:
            for outcome in _follow_tasks(job, handle, progress, options):
                progress.tasks.append(outcome)
        except StateUnknownError:
            if interrupts.detaching.is_set():
                raise DetachedError(handle.host, handle.run_id) from None
            raise
        finally:
            stopper.end(progress.tasks)
            # The outputs of a failed or stopped task are pulled, too.
            if progress.tasks and options.pulls:
                _pull(job, handle, progress)
        if not options.pulls:
            missing = _find_missing(job, handle, progress.tasks)
            progress.tasks = apply_missing(progress.tasks, missing)


def _pull(job: JobContext, handle: JobHandle, progress: JobProgress) -> None:
    try:
        pull_into(job, handle, progress, {task.task for task in progress.tasks})
    except (StateUnknownError, TransferError) as problem:
        if not job.run.interrupts.detaching.is_set():
            raise
        is_over = len(progress.tasks) == len(handle.tasks)
        if is_over or progress.tasks[-1].status is not Status.SUCCEEDED:
            raise DetachedPullError(
                handle.host,
                "detached while the outputs were pulled; the job itself has "
                f"{_word(progress.tasks)}",
                hint=f"mlcube-remote pull {handle.run_id}",
            ) from problem
        raise DetachedError(handle.host, handle.run_id) from problem


def _word(tasks: Sequence[TaskOutcome]) -> str:
    """Return how tasks have ended, for "it has …"."""
    return "succeeded" if tasks[-1].status is Status.SUCCEEDED else "ended"


def late_stop(tasks: Sequence[TaskOutcome]) -> str:
    """Return what a user who stopped a job has to know if its tasks ended before that.

    Empty if the stop ended a task, or if no task has ended.
    """
    if not tasks or tasks[-1].status in {Status.CANCELLED, *OPEN, Status.NOT_STARTED}:
        return ""
    return f"the stop came too late: it had already {_word(tasks)}"


def _find_missing(
    job: JobContext, handle: JobHandle, tasks: list[TaskOutcome]
) -> list[DownloadRequest]:
    """Return the declared outputs of successful tasks that do not exist."""
    succeeded = {task.task for task in tasks if task.status is Status.SUCCEEDED}
    missing = [
        item for item in handle.in_place if item.task in succeeded and not Path(item.path).exists()
    ]
    for folder in select_outputs(handle.folders, succeeded):
        for item in folder.outputs:
            path = posixpath.join(folder.remote, item.path)
            kind = job.connection.retrying(partial(read_kind, path=path))
            missing += [item] if kind == "-" else []
    return missing


def _follow_tasks(
    job: JobContext, handle: JobHandle, progress: JobProgress, options: FollowOptions
) -> Iterator[TaskOutcome]:
    """Yield the outcome of each task that ends, until one fails."""
    wait_in_queue(job, handle)
    for number, task in enumerate(handle.tasks, 1):
        with job.events.stage(Stage.RUN, task.task) as notes:
            report = _follow(job, handle, number, task, options, progress.logs)
            progress.sent = report.sent
            _warn_about(job, handle, task.task, report)
            outcome = derive_outcome(handle, task, report)
            warn_of_unchanged(job, handle, outcome)
            # The task may have started before this client followed it.
            notes.seconds = outcome.seconds or 0.0
            notes.detail = outcome.reason or f"exit code {outcome.exit_code}"
        yield outcome
        if outcome.status is not Status.SUCCEEDED:
            return


def _follow(
    job: JobContext,
    handle: JobHandle,
    number: int,
    task: TaskHandle,
    options: FollowOptions,
    logs: dict[str, TaskLogs],
) -> TaskReport:
    def on_other_node(node: str) -> None:
        job.warn(
            f"the job runs on {node} (same home directory); this command cannot see if {node} goes "
            "down"
        )

    if not job.run.is_fast:
        # For the pull.
        job.connection.current.expect_channel()
    shown: OutputSink = _discard
    if options.shows_output:
        shown = job.events.output(Stage.RUN, task.task)
    stamps = None
    if options.timestamps:
        from mlcube_remote.jobs.log_times import Stamps  # noqa: PLC0415 - few commands need it

        shown = stamps = Stamps(shown)
    is_whole = options.tail is None and options.since is None
    if is_whole and stamps is None:
        # Otherwise the beginning of the logs is not received, or not as the task wrote it.
        logs[task.task] = TaskLogs()
        shown = logs[task.task].before(shown)
    return follow_task(
        job.connection,
        handle,
        number,
        shown,
        begin=find_offsets(job, handle, number, options),
        catches_up=options.catches_up or not is_whole or stamps is not None,
        tail=options.tail,
        stamps=stamps,
        with_answer=job.run.is_fast,
        with_outputs=options.pulls,
        adopted=lambda: job.warn("its supervisor had been killed; a new one was started"),
        elsewhere=on_other_node,
    )


def _discard(_stream: Stream, _data: bytes) -> None:
    """Ignore a task's output."""


def find_offsets(
    job: JobContext, handle: JobHandle, number: int, options: FollowOptions
) -> dict[Stream, int]:
    """Return the offset in bytes of each log at which to start."""
    offsets = dict.fromkeys(Stream, 0)
    if options.since is not None or options.timestamps:
        offsets |= job.connection.retrying(partial(_find_time, job, handle, number, options.since))
    if options.tail is not None:
        for stream in Stream:
            file = f"{handle.task_dir(number)}/{stream.value}"
            found = job.connection.retrying(partial(_find_offset, file, str(options.tail)))
            offsets[stream] = max(offsets[stream], found)
    return offsets


def _find_time(
    job: JobContext, handle: JobHandle, number: int, since: Since | None, connection: Connection
) -> dict[Stream, int]:
    """Return the sizes of the logs at a time; warn if the host has recorded no times."""
    from mlcube_remote.jobs.log_times import fetch_times, lacks_times  # noqa: PLC0415

    report = read_task(connection, handle, number)
    times = fetch_times(connection, handle, number)
    if lacks_times(times, report):
        job.warn("the host has not recorded when the output came")
    if since is None:
        return {}
    return times.offsets_since(since.on(times.now), report)


def _find_offset(file: str, lines: str, connection: Connection) -> int:
    text = connection.call("mlcr_print_tail_offset", file, lines).text.strip()
    try:
        return parse_whole(text or "0")
    except ValueError as problem:
        raise StateUnknownError(
            connection.name, f"the size of {file} could not be read ({problem})"
        ) from problem


def _warn_about(job: JobContext, handle: JobHandle, task: str, report: TaskReport) -> None:
    if report.log_is_degraded:
        job.warn("a supervisor died: some of the task's output may be missing")
    if report.log_is_cut:
        job.warn("the task's output is larger than the limit of its log: the log is incomplete")
    if report.foreign:
        places = " ".join(folder.remote for folder in handle.folders)
        job.warn(
            f"files written by {task} belong to another user and could not be given to you "
            f"({report.foreign}); ask an administrator to run: chown -hR USER {places}"
        )


def warn_of_unchanged(job: JobContext, handle: JobHandle, task: TaskOutcome) -> None:
    """Warn of outputs that a successful task left as they were before the run."""
    names = unchanged_outputs(task.outputs)
    if task.status is not Status.SUCCEEDED or not names:
        return
    instead = ""
    pulled = {item.name for folder in handle.folders for item in folder.outputs}
    if not pulled.isdisjoint(names):
        options = " ".join(f"--only={name}" for name in names if name in pulled)
        instead = f"; to pull it anyway: mlcube-remote pull {handle.run_id} {options}"
    job.warn(
        f"{task.task} did not write its output {', '.join(names)}: files that are there are older "
        f"than this run, and are not its results{instead}"
    )


@attrs.define
class _Stopper:
    """Asks the host to stop the job: when interrupted, and again on each later connection."""

    job: JobContext
    handle: JobHandle
    is_asked: threading.Event = attrs.field(factory=threading.Event)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _ended: Sequence[TaskOutcome] | None = attrs.field(default=None, init=False)
    """How the tasks have ended; ``None``: they are followed."""

    def stop(self) -> None:
        with self._lock:
            self.is_asked.set()
            if self._ended is not None:
                self._report_late(self._ended)
                return
            # Before another thread can report that it came too late.
            self.job.info(f"stopping (SIGTERM, after {self.handle.grace} s SIGKILL)")
        try:
            request_stop(self.job.connection.current, self.handle)
        except MLCubeRemoteError as problem:
            # If the job has ended, its connection may be closed before the answer.
            if self._ended is None:
                self.job.warn(f"not stopped yet: {problem}")

    def end(self, tasks: Sequence[TaskOutcome]) -> None:
        """Note that the tasks are no longer followed; say so if the user stopped them too late."""
        with self._lock:
            self._ended = tuple(tasks)
            if self.is_asked.is_set():
                self._report_late(self._ended)

    def _report_late(self, tasks: Sequence[TaskOutcome]) -> None:
        if text := late_stop(tasks):
            self.job.info(text)

    def repeat(self, connection: Connection) -> None:
        if self.is_asked.is_set():
            request_stop(connection, self.handle)
