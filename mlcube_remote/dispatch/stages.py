# SPDX-License-Identifier: Apache-2.0
"""The stages of a job, each a function of the bench that all of them work at."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import attrs

from mlcube_remote.commands.launch import launched, secret_variable
from mlcube_remote.commands.model import ImageCommands, TaskCommands
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.dispatch.events import Level, Stage
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.outcome import PulledOutput, Status, TaskOutcome
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.placement import Placed, Where, made_by_cube
from mlcube_remote.dispatch.plan import Job
from mlcube_remote.dispatch.preflight import Facts, Image, find_image, require_architecture
from mlcube_remote.dispatch.pull import Wanted, fetch, folders
from mlcube_remote.dispatch.rsync import Moved
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.sync import Tree, send, trees
from mlcube_remote.dispatch.task import Start, follow, judge, launch
from mlcube_remote.errors import HostError, PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import container_name
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection

GRACE = 10
"""Seconds between SIGTERM and SIGKILL when a job is stopped."""

Built = Sequence[tuple[str, TaskCommands]]
"""(task, its commands), in order."""


@attrs.define
class Reached:
    """What a job has come to so far, kept for the outcome whatever happens."""

    tasks: list[TaskOutcome] = attrs.field(factory=list)
    outputs: list[PulledOutput] = attrs.field(factory=list)
    launched: bool = False


@attrs.frozen(kw_only=True)
class Bench:
    """Everything that the stages of one job work with."""

    job: Job
    run: Run
    journal: Journal
    connection: Connection
    facts: Facts
    paths: HostPaths
    reached: Reached

    def placed(self) -> list[tuple[str, Placed]]:
        """Return (task, parameter) of all tasks, in order."""
        every = self.job.placed(self.paths.root)
        return [(task, item) for task, items in every.items() for item in items]


def sync_stage(bench: Bench, needed: ImageCommands) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the image is there."""
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as aside:
        looking: Future[Image] = aside.submit(
            find_image, bench.connection, bench.job.platform, needed.engine, needed.image
        )
        if not bench.job.host.is_local:
            bench.connection.expect_channel()
            with bench.journal.stage(Stage.SYNC) as notes:
                items = [item for _, item in bench.placed()]
                notes.detail = _send_all(bench, trees(bench.job.request.cube, items, bench.paths))
        return looking.result()


def _send_all(bench: Bench, all_trees: Sequence[Tree]) -> str:
    parents = [posixpath.dirname(tree.remote) for tree in all_trees if not tree.mirror]
    if parents:
        _make(bench.connection, parents)
    total = Moved(0, 0)
    for tree in all_trees:
        bench.run.check()
        sent = send(
            bench.connection,
            tree,
            progress=lambda detail, fraction: bench.journal.progress(Stage.SYNC, detail, fraction),
        )
        total = Moved(total.files + sent.moved.files, total.size + sent.moved.size)
        for link in sent.left_out:
            bench.journal.note(Level.WARNING, f"not sent: {link} is a link that leaves the cube")
    return str(total)


def configure_stage(bench: Bench, needed: ImageCommands, image: Image) -> None:
    """Make sure that the image is there, and that the machine can run it."""
    always = bench.job.request.configure_only or needed.before_each_run
    with bench.journal.stage(Stage.CONFIGURE) as notes:
        if image.present and not always:
            notes.skipped, notes.detail = True, "image present"
        else:
            configure(bench.connection, bench.journal, bench.paths, needed)
            image = find_image(bench.connection, bench.job.platform, needed.engine, needed.image)
        warning = require_architecture(bench.connection, bench.facts, image, needed.image)
    if warning:
        bench.journal.note(Level.WARNING, warning)


def require_inputs_there(bench: Bench) -> None:
    """Refuse to run without an input that only the host could have had.

    Raises:
        PlanError: An input is neither here nor there.
    """
    cube = bench.job.request.cube
    made: set[str] = set()
    for task, item in bench.placed():
        value = item.parameter.value
        if item.is_output:
            made.add(value)
            continue
        if item.where is not Where.WORKSPACE or item.local is None or item.local.exists():
            continue
        if value in made or not made_by_cube(item, cube):
            continue
        there = bench.paths.mirror(item.local, cube)
        if bench.connection.call("mlcr_kind", there).text.strip() == "-":
            raise PlanError(
                f"{bench.job.host.name}: {task}.{item.parameter.name}: input {value!r} is neither "
                "on this machine nor on the host",
                hint="run the task that makes it first",
            )


def run_stage(bench: Bench, commands: Built) -> None:
    """Start the tasks under their supervisor and follow each until one fails."""
    job, journal, connection = bench.job, bench.journal, bench.connection
    starts = _starts(bench, commands)
    _prepare(connection, [built for _, built in commands])
    launch(connection, bench.paths, starts, _environment(job, commands))
    bench.reached.launched = True
    with bench.run.stoppable(job.host.name, lambda: _stop(bench)):
        for number, start in enumerate(starts, 1):
            with journal.stage(Stage.RUN, start.task) as notes:
                connection.expect_channel()
                output = journal.output(Stage.RUN, start.task)
                verdict = follow(connection, bench.paths, number, output)
                ended = judge(job.host.name, start, verdict)
                bench.reached.tasks.append(ended)
                notes.detail = ended.reason or f"exit code {ended.exit_code}"
            if ended.status is not Status.SUCCEEDED:
                return


def _starts(bench: Bench, commands: Built) -> tuple[Start, ...]:
    job, uid = bench.job, bench.facts.uid
    secrets = tuple(job.env)
    named = job.platform in CONTAINER_ENGINES
    return tuple(
        Start(
            task=task,
            argv=launched(
                built, job.launch(number, task, built, uid=uid, paths=bench.paths), secrets
            ),
            engine=built.engine,
            container=container_name(uid, job.id, number) if named else "",
        )
        for number, (task, built) in enumerate(commands, 1)
    )


def _environment(job: Job, commands: Built) -> dict[str, Secret]:
    """Return what the supervisor exports: the secrets, under the names that the engine takes."""
    public = {
        name: Secret(value) for _, built in commands for name, value in built.environment.items()
    }
    handed = {secret_variable(job.platform, name): value for name, value in job.env.items()}
    return {**public, **handed}


def _prepare(connection: Connection, commands: Sequence[TaskCommands]) -> None:
    """Make the directories that the tasks mount, and fill a workspace of one's own."""
    directories = list(dict.fromkeys(path for built in commands for path in built.directories))
    copies = list(dict.fromkeys(copy for built in commands for copy in built.copies))
    _make(connection, directories, [path for copy in copies for path in (copy.source, copy.target)])


def _make(connection: Connection, directories: Sequence[str], copies: Sequence[str] = ()) -> None:
    made = connection.call("mlcr_prepare", str(len(copies) // 2), *copies, *directories)
    if not made.ok:
        said = made.stderr.decode("utf-8", "replace").strip()
        raise HostError(connection.name, f"the workspace could not be prepared there: {said}")


def _stop(bench: Bench) -> None:
    bench.journal.note(Level.INFO, f"stopping (SIGTERM, after {GRACE} s SIGKILL)")
    bench.connection.call("mlcr_stop", bench.paths.job_dir, str(GRACE), timeout=GRACE + 60.0)


def pull_stage(bench: Bench) -> None:
    """Bring home what the tasks that ran declare."""
    ran = {task.task for task in bench.reached.tasks}
    placed = [(task, item) for task, item in bench.placed() if task in ran]
    missing: list[Wanted] = []
    with bench.journal.stage(Stage.PULL) as notes:
        if bench.job.host.is_local:
            notes.skipped, notes.detail = True, "in place"
            missing += _in_place(bench, placed)
        else:
            details = []
            for folder in folders(
                bench.job.request.cube, placed, bench.paths, results=bench.job.results
            ):
                pulled = fetch(bench.connection, folder)
                bench.reached.outputs += pulled.outputs
                missing += pulled.missing
                details.append(str(pulled.moved))
            notes.detail = "; ".join(details) or "no outputs"
    _mark_missing(bench.reached, missing)


def _in_place(bench: Bench, placed: Sequence[tuple[str, Placed]]) -> list[Wanted]:
    """Note the outputs of a run on this machine, and return those that are not there."""
    missing = []
    for task, item in placed:
        if not item.is_output or item.local is None:
            continue
        name = item.parameter.name
        if item.local.exists():
            bench.reached.outputs.append(PulledOutput(task=task, name=name, path=item.local))
        else:
            missing.append(Wanted(task=task, name=name, path=str(item.local), directory=None))
    return missing


def _mark_missing(reached: Reached, missing: Sequence[Wanted]) -> None:
    """Turn the success of a task that did not make what it declared into a failure."""
    for index, task in enumerate(reached.tasks):
        lacking = [item.name for item in missing if item.task == task.task]
        if lacking and task.status is Status.SUCCEEDED:
            reached.tasks[index] = attrs.evolve(
                task,
                status=Status.FAILED,
                reason=f"exited 0 but did not produce its output {', '.join(lacking)}",
            )
