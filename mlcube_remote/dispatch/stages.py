# SPDX-License-Identifier: Apache-2.0
"""The stages of a job, each a function of the bench that all of them work at."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import attrs

from mlcube_remote.commands.chown import chown_arguments
from mlcube_remote.commands.launch_options import insert_options, secret_variable
from mlcube_remote.commands.model import ImageCommands, TaskCommands
from mlcube_remote.cube.host_paths import contains, host_path
from mlcube_remote.dispatch.aim import MadeFile
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.dispatch.events import Level, Stage
from mlcube_remote.dispatch.job import Job
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.launch import Expected, Start, launch, unprepared
from mlcube_remote.dispatch.line import Line
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.placement import Placed, Where, made_by_cube
from mlcube_remote.dispatch.preflight import Facts, Image, find_image, require_architecture
from mlcube_remote.dispatch.pull import Wanted, folders
from mlcube_remote.dispatch.record import plan_to_start
from mlcube_remote.dispatch.rsync import Moved
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.sync import Sent, Tree, send, trees
from mlcube_remote.dispatch.ticket import Ticket, TicketTask
from mlcube_remote.dispatch.trial import made_paths
from mlcube_remote.dispatch.watch import Reached
from mlcube_remote.errors import HostError, PlanError, StateUnknownError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, container_name, slug
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_PIECE = 64 * 1024

Built = Sequence[tuple[str, TaskCommands]]
"""(task, its commands), in order."""


@attrs.frozen(kw_only=True)
class Bench:
    """Everything that the stages of one job work with."""

    job: Job
    run: Run
    journal: Journal
    line: Line
    facts: Facts
    paths: HostPaths
    reached: Reached

    def placed(self) -> list[tuple[str, Placed]]:
        """Return (task, parameter) of all tasks, in order."""
        every = self.job.placed(self.paths.root)
        return [(task, item) for task, items in every.items() for item in items]

    @property
    def waits(self) -> bool:
        """Whether it waits on its host for what others have: one of a pool may go elsewhere."""
        return self.run.wait and self.job.trial is None

    @property
    def lock(self) -> str:
        """What stands for the workspace on the host: one run at a time writes there."""
        return f"{self.paths.root}/locks/{slug('workspace', of=self.paths.workspace)}"

    @property
    def group(self) -> str:
        """What shares the workspace with this job: its run's other jobs, of a sweep; or nothing."""
        return "" if self.job.trial is None else self.job.request.run_id

    def ticket(self, commands: Built) -> Ticket:
        """Return what those must know who follow the job."""
        job, placed = self.job, self.placed()
        local = job.host.is_local
        return Ticket(
            run_id=job.request.run_id,
            job_id=job.id,
            host=job.host.name,
            platform=job.platform,
            cube=job.cube.name or job.cube.root.name,
            client=client_name(),
            root=self.paths.root,
            tasks=tuple(
                TicketTask(
                    task=task,
                    engine=built.engine,
                    container=container_name(self.facts.uid, job.id, number)
                    if job.platform in CONTAINER_ENGINES
                    else "",
                )
                for number, (task, built) in enumerate(commands, 1)
            ),
            folders=() if local else folders(job.cube, placed, self.paths, results=job.results),
            in_place=_in_place(placed) if local else (),
            timeout=job.request.timeout,
            job=job.own_name,
            parameters={} if job.trial is None else dict(job.trial.point.values),
        )

    def remember(self, ticket: Ticket) -> None:
        """Write the ticket into this machine's record."""
        self.reached.ticket = ticket
        if self.run.store is not None:
            plan_to_start(self.run.store, ticket, self.job.attempt)


def _in_place(placed: Sequence[tuple[str, Placed]]) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(task=task, name=item.parameter.name, path=str(item.local), directory=None)
        for task, item in placed
        if item.is_output and item.local is not None
    )


def sync_stage(bench: Bench, needed: ImageCommands) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the image is there.

    Whether a SIF file still is what its recipe says can only be asked when the recipe is there.
    """
    if needed.platform not in CONTAINER_ENGINES:
        _sync(bench, image=needed.image)
        return bench.line.steadily(lambda at: find_image(at, needed, bench.paths))
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as aside:
        looking: Future[Image] = aside.submit(
            find_image, bench.line.connection, needed, bench.paths
        )
        _sync(bench)
        return bench.line.steadily(_once(looking, bench, needed))


def _sync(bench: Bench, *, image: str = "") -> None:
    if bench.job.host.is_local:
        return
    bench.line.connection.expect_channel()
    with bench.journal.stage(Stage.SYNC) as notes:
        items = bench.job.sent(bench.paths.root)
        every = trees(bench.job.request.cube, items, bench.paths, image=image)
        # The mirror is this user's and this machine's: nobody else ever fills it.
        mirror = slug(bench.job.host.name, of=str(bench.job.request.cube.root))
        with exclusive(mirror, partial(_tell_waiting, bench.journal)):
            notes.detail = _send_all(bench, every)


def _tell_waiting(journal: Journal) -> None:
    journal.note(Level.INFO, "waiting: another client is sending this cube")


def _send_all(bench: Bench, all_trees: Sequence[Tree]) -> str:
    parents = [posixpath.dirname(tree.remote) for tree in all_trees if not tree.mirror]
    if parents:
        bench.line.steadily(lambda connection: _make(connection, parents))
    total = Moved(0, 0)
    for tree in all_trees:
        bench.run.check()
        bench.journal.note(Level.DEBUG, f"sync: {tree.local} to {tree.remote}")
        sent = bench.line.steadily(partial(_send, bench, tree))
        total = Moved(total.files + sent.moved.files, total.size + sent.moved.size)
        for link in sent.left_out:
            bench.journal.note(Level.WARNING, f"not sent: {link} is a link that leaves the cube")
    return str(total)


def _send(bench: Bench, tree: Tree, connection: Connection) -> Sent:
    return send(
        connection,
        tree,
        progress=lambda detail, fraction: bench.journal.progress(Stage.SYNC, detail, fraction),
    )


def _once(
    looking: Future[Image], bench: Bench, needed: ImageCommands
) -> Callable[[Connection], Image]:
    """Return what gives the answer that is on its way; asked again, it asks the host again."""
    answers = [looking]

    def look(connection: Connection) -> Image:
        if answers:
            return answers.pop().result()
        return find_image(connection, needed, bench.paths)

    return look


def configure_stage(bench: Bench, needed: ImageCommands, image: Image) -> None:
    """Make sure that the image is there, and that the machine can run it."""
    # Of a SIF file it is known whether another build would make another one.
    in_engine = needed.platform in CONTAINER_ENGINES
    always = needed.before_each_run or (bench.job.request.configure_only and in_engine)
    if image.stale:
        bench.journal.note(Level.INFO, f"the recipe of {needed.image} changed: building it again")
    with bench.journal.stage(Stage.CONFIGURE) as notes:
        if image.present and not always:
            notes.skipped, notes.detail = True, "image present"
        else:
            image = bench.line.steadily(partial(_configure, bench, needed))
        warning = bench.line.steadily(
            lambda at: require_architecture(at, bench.facts, image, needed.image)
        )
    if warning:
        bench.journal.note(Level.WARNING, warning)


def _configure(bench: Bench, needed: ImageCommands, connection: Connection) -> Image:
    configure(connection, bench.journal, bench.paths, needed)
    return find_image(connection, needed, bench.paths)


def require_data_there(bench: Bench) -> None:
    """Refuse to run on data that the host was to have in place, and does not have.

    Raises:
        PlanError: An input is not there, and no task of the job makes it.
    """
    job = bench.job
    # What a job of a sweep has for itself is made when it starts.
    made = [bench.paths.room] if bench.paths.room else []
    for task, item in bench.placed():
        if item.where is not Where.HOST or job.host.is_local:
            continue
        path = host_path(item.parameter.value, bench.paths.layout)
        if item.is_output:
            made.append(path)
        elif bench.facts.kinds.get(path) == "-" and (
            item.is_of_unknown_type or not any(contains(each, path) for each in made)
        ):
            name = item.parameter.name
            raise PlanError(
                f"{job.host.name}: {task}.{name}: input {path} does not exist there",
                hint=f"it is on this machine, so: {name}=local:{path}"
                if os.path.exists(path)
                else f"create it there, or give another: {name}=PATH",
            )


def require_inputs_there(bench: Bench) -> None:
    """Refuse to run without an input that only the host could have had.

    Raises:
        PlanError: An input is neither here nor there.
    """
    cube = bench.job.cube
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
        if bench.line.connection.call("mlcr_kind", there).text.strip() == "-":
            raise PlanError(
                f"{bench.job.host.name}: {task}.{item.parameter.name}: input {value!r} is neither "
                "on this machine nor on the host",
                hint="run the task that makes it first",
            )


def launch_job(bench: Bench, ticket: Ticket, commands: Built) -> None:
    """Start the tasks under their supervisor; from here on they need no client."""
    job, line = bench.job, bench.line
    starts = _starts(bench, ticket, commands)
    expected = Expected(
        directories=tuple(
            dict.fromkeys(path for _, built in commands for path in built.directories)
        ),
        copies=tuple(dict.fromkeys(copy for _, built in commands for copy in built.copies)),
    )
    if job.trial is not None:
        line.steadily(partial(_write, made_paths(bench.paths, job.trial)))
    # Until the host has answered, nobody knows whether it runs.
    bench.reached.launched = True
    line.attach_hint = f"mlcube-remote attach {ticket.run_id}"
    environment = _environment(job, commands)
    for start in starts:
        bench.journal.note(Level.DEBUG, f"run {start.task}: {quote_words(start.argv)}")
    bench.journal.note(Level.DEBUG, f"run: logs in {ticket.job_dir}")
    try:
        line.steadily(lambda at: launch(at, ticket, starts, environment, expected=expected))
    except HostError as problem:
        bench.reached.launched = isinstance(problem, StateUnknownError)
        raise


def _starts(bench: Bench, ticket: Ticket, commands: Built) -> tuple[Start, ...]:
    job, uid = bench.job, bench.facts.uid
    secrets = tuple(job.env)
    return tuple(
        Start(
            task=task.task,
            argv=insert_options(
                built, job.launch(number, task.task, built, uid=uid, paths=bench.paths), secrets
            ),
            engine=task.engine,
            container=task.container,
            own=chown_arguments(
                built, root=bench.paths.root, uid=uid, labels=job.labels(task.task, uid)
            ),
        )
        for number, (task, (_, built)) in enumerate(zip(ticket.tasks, commands, strict=True), 1)
    )


def _environment(job: Job, commands: Built) -> dict[str, Secret]:
    """Return what the supervisor exports: the secrets, under the names that the engine takes."""
    public = {
        name: Secret(value) for _, built in commands for name, value in built.environment.items()
    }
    engine = commands[0][1].engine
    handed = {secret_variable(job.platform, engine, name): value for name, value in job.env.items()}
    return {**public, **handed}


def _write(files: Sequence[tuple[MadeFile, str]], connection: Connection) -> None:
    """Write the input files that are made for this job."""
    for file, path in files:
        # What a shell reads at once should not be arbitrarily large.
        texts = [file.text[at : at + _PIECE] for at in range(0, len(file.text), _PIECE)] or [""]
        for number, text in enumerate(texts):
            wrote = connection.call("mlcr_write", path, "append" if number else "anew", text)
            if not wrote.ok:
                said = wrote.stderr.decode("utf-8", "replace").strip()
                raise HostError(connection.name, f"{path} could not be written: {said}")


def _make(connection: Connection, directories: Sequence[str]) -> None:
    made = connection.call("mlcr_prepare", *Expected(directories=tuple(directories)).words)
    if not made.ok:
        raise unprepared(connection, made)
