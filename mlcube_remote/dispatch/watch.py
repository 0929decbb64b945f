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

from mlcube_remote.dispatch.content import content
from mlcube_remote.dispatch.events import Level, Stage
from mlcube_remote.dispatch.follow import follow
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.line import Line
from mlcube_remote.dispatch.outcome import PulledOutput, Status, TaskOutcome
from mlcube_remote.dispatch.preflight import records
from mlcube_remote.dispatch.pull import Folder, Pulled, Wanted, fetch
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.ticket import Ticket
from mlcube_remote.dispatch.verdict import Verdict, elsewhere, judge
from mlcube_remote.errors import DetachedError, MLCubeRemoteError, StateUnknownError
from mlcube_remote.runs.digests import Digests
from mlcube_remote.transport.base import Connection, Reply, Stream

GRACE = 10
"""Seconds between SIGTERM and SIGKILL when a job is stopped."""


@attrs.define
class Reached:
    """What a job has come to so far, kept for the outcome whatever happens."""

    tasks: list[TaskOutcome] = attrs.field(factory=list)
    outputs: list[PulledOutput] = attrs.field(factory=list)
    launched: bool = False
    may_run: bool = False
    """Whether an earlier client may have begun the job, and nobody could ask its host yet."""
    detached: bool = False
    """Whether the job was left to itself on purpose, once it had been started."""
    ticket: Ticket | None = None


@attrs.frozen(kw_only=True)
class Watch:
    """A job that has been started, and the line to its host."""

    ticket: Ticket
    run: Run
    journal: Journal
    line: Line
    reached: Reached
    tail: int | None = None
    """Lines of each stream to begin with; ``None``: from the first byte."""
    shows_output: bool = True
    pulls: bool = True


def watch(job: Watch) -> None:
    """Follow the job's tasks until one fails or all have ended, and pull what they made.

    Raises:
        DetachedError: Nobody wants to follow it any more; it goes on.
        StateUnknownError: The host could not be asked any more.
    """
    line = job.line
    stopper = _Stopper(job)
    line.after.append(stopper.on_new_connection)
    with job.run.reachable(job.ticket.name, stop=stopper.stop, leave=line.close):
        try:
            _follow_tasks(job)
        except StateUnknownError:
            if job.run.leaving.is_set():
                raise DetachedError(job.ticket.host, job.ticket.run_id) from None
            raise
        finally:
            # What a failed or stopped task left comes home too.
            if job.reached.tasks and job.pulls:
                pull(job, {task.task for task in job.reached.tasks})
        if not job.pulls:
            mark_missing(job.reached, _not_made(job))


def _not_made(job: Watch) -> list[Wanted]:
    """Return the declared outputs of tasks that ended well which are not where they were to be."""
    well = {task.task for task in job.reached.tasks if task.status is Status.SUCCEEDED}
    missing = [
        item for item in job.ticket.in_place if item.task in well and not Path(item.path).exists()
    ]
    for folder in _of_tasks(job.ticket.folders, well, ()):
        for item in folder.outputs:
            kind = job.line.steadily(partial(_kind, posixpath.join(folder.remote, item.path)))
            missing += [item] if kind.text.strip() == "-" else []
    return missing


def _kind(path: str, connection: Connection) -> Reply:
    return connection.call("mlcr_print_kind", path)


def _follow_tasks(job: Watch) -> None:
    for number, task in enumerate(job.ticket.tasks, 1):
        with job.journal.stage(Stage.RUN, task.task) as notes:
            job.line.connection.expect_channel()
            verdict = follow(
                job.line,
                job.ticket,
                number,
                job.journal.output(Stage.RUN, task.task) if job.shows_output else _discard,
                begin=begin_at(job, number),
                adopted=lambda: job.journal.note(
                    Level.WARNING, "its supervisor had been killed; it was given another"
                ),
                elsewhere=lambda node: job.journal.note(
                    Level.WARNING,
                    f"it runs on {node}, which shares this home: followed from here, but should "
                    f"{node} die, nobody would tell",
                ),
            )
            _tell_of_log(job, verdict)
            _tell_of_owners(job, task.task, verdict)
            ended = judge(job.ticket, task, verdict)
            job.reached.tasks.append(ended)
            notes.detail = ended.reason or f"exit code {ended.exit_code}"
        if ended.status is not Status.SUCCEEDED:
            return


def _discard(_stream: Stream, _data: bytes) -> None:
    """Take a task's output that nobody wants to see."""


def begin_at(job: Watch, number: int) -> dict[Stream, int]:
    """Return the offsets at which to begin, in bytes."""
    if job.tail is None:
        return dict.fromkeys(Stream, 0)
    lines = str(job.tail)
    begin = {}
    for stream in Stream:
        file = f"{job.ticket.task_dir(number)}/{stream.value}"
        begin[stream] = int(job.line.steadily(partial(_tail, file, lines)).text or 0)
    return begin


def _tail(file: str, lines: str, connection: Connection) -> Reply:
    return connection.call("mlcr_print_tail_offset", file, lines)


def _tell_of_log(job: Watch, verdict: Verdict) -> None:
    if verdict.log_is_degraded:
        job.journal.note(
            Level.WARNING, "a supervisor died: some of the task's output may be missing"
        )
    if verdict.log_is_cut:
        job.journal.note(Level.WARNING, "the task wrote more than its log may hold: it was cut")


def _tell_of_owners(job: Watch, task: str, verdict: Verdict) -> None:
    if verdict.foreign:
        places = " ".join(folder.remote for folder in job.ticket.folders)
        job.journal.note(
            Level.WARNING,
            f"what {task} wrote belongs to another user there, and stays so ({verdict.foreign}); "
            f"an administrator can mend it: chown -hR USER {places}",
        )


@attrs.define
class _Stopper:
    """Asks the host to stop the job: now, and again on a connection made since."""

    job: Watch
    asked: threading.Event = attrs.field(factory=threading.Event)

    def stop(self) -> None:
        self.asked.set()
        self.job.journal.note(Level.INFO, f"stopping (SIGTERM, after {GRACE} s SIGKILL)")
        try:
            stop(self.job.line.connection, self.job.ticket)
        except MLCubeRemoteError as problem:
            self.job.journal.note(Level.WARNING, f"not stopped yet: {problem}")

    def on_new_connection(self, connection: Connection) -> None:
        if self.asked.is_set():
            stop(connection, self.job.ticket)


def stop(connection: Connection, ticket: Ticket, grace: int = GRACE) -> bool:
    """Ask a host to stop a job; doing it twice does no harm.

    Returns:
        Whether there was anything to stop.

    Raises:
        StateUnknownError: It is on another machine that shares the host's home.
    """
    reply = connection.call("mlcr_stop_job", ticket.job_dir, str(grace), timeout=grace + 60.0)
    told = dict(records(reply))
    if "node" in told:
        raise elsewhere(ticket, told["node"])
    return told.get("stopped") != "nothing"


def pull(job: Watch, ran: set[str], *, names: frozenset[str] = frozenset()) -> None:
    """Bring home what the tasks that ran declare; ``names``: only these outputs of theirs."""
    with job.journal.stage(Stage.PULL) as notes:
        if job.ticket.in_place:
            notes.skipped, notes.detail = True, "in place"
        missing = [item for item in in_place(job, ran) if not names or item.name in names]
        details, left = [], []
        for folder in _of_tasks(job.ticket.folders, ran, names):
            pulled = job.line.steadily(partial(_fetch, job, folder))
            job.reached.outputs += _marked(job.reached, pulled.outputs)
            missing += pulled.missing
            left += [pulled.left] if pulled.left is not None else []
            details.append(str(pulled.moved))
        notes.detail = notes.detail or "; ".join(details) or "no outputs"
    mark_missing(job.reached, missing)
    if left:
        raise left[0]
    if job.ticket.job and not names and _is_over(job):
        # Its own workspace there may go with the job's directory from now on.
        job.line.steadily(
            lambda at: at.call("mlcr_write_file", f"{job.ticket.job_dir}/pulled", "anew", "")
        )


def _is_over(job: Watch) -> bool:
    """Whether the job makes nothing any more, as far as it was followed."""
    tasks = job.reached.tasks
    over = {Status.RUNNING, Status.UNKNOWN}.isdisjoint(task.status for task in tasks)
    ended = len(tasks) == len(job.ticket.tasks) or tasks[-1].status is not Status.SUCCEEDED
    return over and ended and not job.reached.detached


def _marked(reached: Reached, outputs: Iterable[PulledOutput]) -> list[PulledOutput]:
    """Mark what a task made that did not end well."""
    well = {task.task for task in reached.tasks if task.status is Status.SUCCEEDED}
    return [
        attrs.evolve(output, is_partial=output.is_partial or output.task not in well)
        for output in outputs
    ]


def _fetch(job: Watch, folder: Folder, connection: Connection) -> Pulled:
    running = job.reached.detached
    names = ", ".join(item.path for item in folder.outputs)
    job.journal.note(Level.DEBUG, f"pull: {names} from {folder.remote} to {folder.target}")

    def waiting() -> None:
        job.journal.note(Level.INFO, "waiting: another client is pulling these outputs")

    return fetch(connection, folder, run=job.ticket.run_id, running=running, waiting=waiting)


def _of_tasks(
    folders: Iterable[Folder], tasks: Collection[str], names: Collection[str]
) -> list[Folder]:
    """Return the folders with these outputs of these tasks alone; no names: all of them."""

    def wanted(item: Wanted) -> bool:
        return item.task in tasks and (not names or item.name in names)

    narrowed = [
        attrs.evolve(folder, outputs=tuple(filter(wanted, folder.outputs))) for folder in folders
    ]
    return [folder for folder in narrowed if folder.outputs]


def in_place(job: Watch, tasks: set[str]) -> list[Wanted]:
    """Note the outputs of a run on this machine, and return those that are not there."""
    mine = [item for item in job.ticket.in_place if item.task in tasks]
    there = [item for item in mine if Path(item.path).exists()]
    digests = Digests()
    job.reached.outputs += [
        PulledOutput(
            task=item.task,
            name=item.name,
            path=Path(item.path),
            content=content(Path(item.path), digests),
        )
        for item in there
    ]
    digests.save()
    return [item for item in mine if item not in there]


def mark_missing(reached: Reached, missing: Sequence[Wanted]) -> None:
    """Turn the success of a task that did not make what it declared into a failure."""
    for index, task in enumerate(reached.tasks):
        lacking = [item.name for item in missing if item.task == task.task]
        if lacking and task.status is Status.SUCCEEDED:
            reached.tasks[index] = attrs.evolve(
                task,
                status=Status.FAILED,
                reason=f"exited 0 but did not produce its output {', '.join(lacking)}",
            )
