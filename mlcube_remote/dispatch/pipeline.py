# SPDX-License-Identifier: Apache-2.0
"""One host's job, from connect to pull, on one connection."""

from __future__ import annotations

from contextlib import closing

from mlcube_remote.dispatch.events import Level, Stage
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.dispatch.paths import cube_room
from mlcube_remote.dispatch.placement import Where
from mlcube_remote.dispatch.plan import Job
from mlcube_remote.dispatch.preflight import Facts, probe, require_rsync
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.stages import (
    Bench,
    Reached,
    configure_stage,
    pull_stage,
    require_inputs_there,
    run_stage,
    sync_stage,
)
from mlcube_remote.errors import (
    MLCubeRemoteError,
    StateUnknownError,
    StoppedByUserError,
    UnexpectedError,
)
from mlcube_remote.transport.base import Connection


def run_job(job: Job, run: Run) -> JobOutcome:
    """Do a job and say how it ended; a failure of this host is an outcome, not an exception."""
    journal = Journal(host=job.host.name, began=run.began, sink=run.sink)
    reached = Reached()
    error: MLCubeRemoteError | None = None
    try:
        _connect_and_work(job, run, journal, reached)
    except MLCubeRemoteError as problem:
        # What a broken connection says is of no interest once the user has stopped the run.
        error = StoppedByUserError() if run.stopping.is_set() else problem
    except Exception as bug:  # noqa: BLE001 - told with its traceback; other hosts go on
        error = UnexpectedError(job.host.name, f"a bug in mlcube-remote: {bug!r}")
        error.__cause__ = bug
    outcome = JobOutcome(
        host=job.host.name,
        platform=job.platform,
        status=_status(reached, error),
        tasks=_all_tasks(job, reached, error),
        error=error,
        seconds=journal.seconds,
        outputs=tuple(reached.outputs),
    )
    journal.finished(outcome)
    return outcome


def _status(reached: Reached, error: MLCubeRemoteError | None) -> Status:
    if isinstance(error, StateUnknownError):
        return Status.UNKNOWN if reached.launched else Status.NOT_STARTED
    for task in reached.tasks:
        if task.status is not Status.SUCCEEDED:
            return task.status
    if isinstance(error, StoppedByUserError):
        return Status.CANCELLED
    if error is not None:
        return Status.FAILED if reached.launched else Status.NOT_STARTED
    return Status.SUCCEEDED


def _all_tasks(
    job: Job, reached: Reached, error: MLCubeRemoteError | None
) -> tuple[TaskOutcome, ...]:
    """Return an outcome for every task that was asked for, also those that never began."""
    if job.request.configure_only:
        return ()
    done = list(reached.tasks)
    rest = list(job.request.tasks[len(done) :])
    if rest and reached.launched and isinstance(error, StateUnknownError):
        done.append(TaskOutcome(task=rest.pop(0), status=Status.UNKNOWN))
    return (*done, *(TaskOutcome(task=task, status=Status.NOT_STARTED) for task in rest))


def _connect_and_work(job: Job, run: Run, journal: Journal, reached: Reached) -> None:
    run.check()
    with journal.stage(Stage.CONNECT):
        connection = run.connect(job.host, lambda text: journal.note(Level.INFO, text))
    with closing(connection):
        connection.expect_channel()
        with run.stoppable(job.host.name, connection.close):
            facts = _probe(connection, job)
        bench = Bench(
            job=job,
            run=run,
            journal=journal,
            connection=connection,
            facts=facts,
            paths=job.paths(root=facts.root, home=facts.home),
            reached=reached,
        )
        with run.alone_in(facts.root_id, journal):
            _work(bench)


def _probe(connection: Connection, job: Job) -> Facts:
    asked = [
        item.parameter.value.rstrip("/") or "/"
        for items in job.placed(job.host.remote_root).values()
        for item in items
        if item.where is Where.HOST
    ]
    room = "" if job.host.is_local else cube_room(job.request.cube)
    facts = probe(connection, remote_root=job.host.remote_root, cube_room=room, paths=asked)
    if not job.host.is_local:
        require_rsync(connection, facts)
    return facts


def _work(bench: Bench) -> None:
    job, run = bench.job, bench.run
    commands = job.commands(bench.paths, bench.facts.kinds)
    needed = job.image_commands(bench.paths)
    warnings = (*needed.warnings, *(text for _, built in commands for text in built.warnings))
    for warning in dict.fromkeys(warnings):
        bench.journal.note(Level.WARNING, warning)
    with run.stoppable(job.host.name, bench.connection.close):
        image = sync_stage(bench, needed)
        run.check()
        configure_stage(bench, needed, image)
        run.check()
        if job.request.configure_only:
            return
        require_inputs_there(bench)
    try:
        run_stage(bench, commands)
    finally:
        # What a failed or stopped task left comes home too.
        if bench.reached.tasks:
            pull_stage(bench)
