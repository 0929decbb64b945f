# SPDX-License-Identifier: Apache-2.0
"""The stages of a job, each a function of the bench that all of them work at."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import attrs

from mlcube_remote.commands.launch import launched, secret_variable
from mlcube_remote.commands.model import ImageCommands, TaskCommands
from mlcube_remote.commands.owning import owning
from mlcube_remote.commands.paths import holds, host_path
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.dispatch.monitor import JobProgress
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import HostError, PlanError, StateUnknownError
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.facts.images import Image, find_image, require_architecture
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.files.rsync import TransferStats
from mlcube_remote.files.upload import UploadResult, UploadTree, upload, upload_trees
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.launch import Prerequisites, TaskStart, launch, preparation_error
from mlcube_remote.jobs.reconnecting import Line
from mlcube_remote.jobs.records import record_planned
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.plan.job import Job
from mlcube_remote.plan.outputs import DownloadRequest, download_folders
from mlcube_remote.plan.placement import DataLocation, PlacedParameter, is_made_by_cube
from mlcube_remote.plan.sweep_targets import GeneratedFile
from mlcube_remote.plan.trials import generated_file_paths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, container_name, slug
from mlcube_remote.runs.locks import alone
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_PIECE = 64 * 1024

BuiltTasks = Sequence[tuple[str, TaskCommands]]
"""(task, its commands), in order."""


@attrs.frozen(kw_only=True)
class JobContext:
    """Everything that the stages of one job work with."""

    job: Job
    run: RunContext
    events: JobEvents
    line: Line
    facts: HostFacts
    paths: HostPaths
    progress: JobProgress

    def placed(self) -> list[tuple[str, PlacedParameter]]:
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

    def handle(self, commands: BuiltTasks) -> JobHandle:
        """Return what those must know who follow the job."""
        job, placed = self.job, self.placed()
        local = job.host.is_local
        return JobHandle(
            run_id=job.request.run_id,
            job_id=job.id,
            host=job.host.name,
            platform=job.platform,
            cube=job.cube.name or job.cube.root.name,
            client=client_name(),
            root=self.paths.root,
            tasks=tuple(
                TaskHandle(
                    task=task,
                    engine=built.engine,
                    container=container_name(self.facts.uid, job.id, number)
                    if job.platform in CONTAINER_ENGINES
                    else "",
                )
                for number, (task, built) in enumerate(commands, 1)
            ),
            folders=()
            if local
            else download_folders(job.cube, placed, self.paths, results=job.results),
            in_place=_in_place(placed) if local else (),
            timeout=job.request.timeout,
            job=job.own_name,
            parameters={} if job.trial is None else dict(job.trial.point.values),
        )

    def remember(self, handle: JobHandle) -> None:
        """Write the ticket into this machine's record."""
        self.progress.handle = handle
        if self.run.store is not None:
            record_planned(self.run.store, handle, self.job.attempt)


def _in_place(placed: Sequence[tuple[str, PlacedParameter]]) -> tuple[DownloadRequest, ...]:
    return tuple(
        DownloadRequest(task=task, name=item.parameter.name, path=str(item.local), directory=None)
        for task, item in placed
        if item.is_output and item.local is not None
    )


def sync_stage(context: JobContext, needed: ImageCommands) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the image is there.

    Whether a SIF file still is what its recipe says can only be asked when the recipe is there.
    """
    if needed.platform not in CONTAINER_ENGINES:
        _sync(context, image=needed.image)
        return context.line.steadily(lambda at: find_image(at, needed, context.paths))
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as aside:
        looking: Future[Image] = aside.submit(
            find_image, context.line.connection, needed, context.paths
        )
        _sync(context)
        return context.line.steadily(_once(looking, context, needed))


def _sync(context: JobContext, *, image: str = "") -> None:
    if context.job.host.is_local:
        return
    context.line.connection.expect_channel()
    with context.events.stage(Stage.SYNC) as notes:
        items = context.job.sent(context.paths.root)
        every = upload_trees(context.job.request.cube, items, context.paths, image=image)
        # The mirror is this user's and this machine's: nobody else ever fills it.
        mirror = slug(context.job.host.name, of=str(context.job.request.cube.root))
        with alone(mirror, partial(_tell_waiting, context.events)):
            notes.detail = _send_all(context, every)


def _tell_waiting(events: JobEvents) -> None:
    events.note(Level.INFO, "waiting: another client is sending this cube")


def _send_all(context: JobContext, all_trees: Sequence[UploadTree]) -> str:
    parents = [posixpath.dirname(tree.remote) for tree in all_trees if not tree.mirror]
    if parents:
        context.line.steadily(lambda connection: _make(connection, parents))
    total = TransferStats(0, 0)
    for tree in all_trees:
        context.run.check()
        context.events.note(Level.DEBUG, f"sync: {tree.local} to {tree.remote}")
        sent = context.line.steadily(partial(_send, context, tree))
        total = TransferStats(total.files + sent.moved.files, total.size + sent.moved.size)
        for link in sent.left_out:
            context.events.note(Level.WARNING, f"not sent: {link} is a link that leaves the cube")
    return str(total)


def _send(context: JobContext, tree: UploadTree, connection: Connection) -> UploadResult:
    return upload(
        connection,
        tree,
        progress=lambda detail, fraction: context.events.progress(Stage.SYNC, detail, fraction),
    )


def _once(
    looking: Future[Image], context: JobContext, needed: ImageCommands
) -> Callable[[Connection], Image]:
    """Return what gives the answer that is on its way; asked again, it asks the host again."""
    answers = [looking]

    def look(connection: Connection) -> Image:
        if answers:
            return answers.pop().result()
        return find_image(connection, needed, context.paths)

    return look


def configure_stage(context: JobContext, needed: ImageCommands, image: Image) -> None:
    """Make sure that the image is there, and that the machine can run it."""
    # Of a SIF file it is known whether another build would make another one.
    in_engine = needed.platform in CONTAINER_ENGINES
    always = needed.before_each_run or (context.job.request.configure_only and in_engine)
    if image.stale:
        context.events.note(Level.INFO, f"the recipe of {needed.image} changed: building it again")
    with context.events.stage(Stage.CONFIGURE) as notes:
        if image.present and not always:
            notes.skipped, notes.detail = True, "image present"
        else:
            image = context.line.steadily(partial(_configure, context, needed))
        warning = context.line.steadily(
            lambda at: require_architecture(at, context.facts, image, needed.image)
        )
    if warning:
        context.events.note(Level.WARNING, warning)


def _configure(context: JobContext, needed: ImageCommands, connection: Connection) -> Image:
    configure(connection, context.events, context.paths, needed)
    return find_image(connection, needed, context.paths)


def require_data_there(context: JobContext) -> None:
    """Refuse to run on data that the host was to have in place, and does not have.

    Raises:
        PlanError: An input is not there, and no task of the job makes it.
    """
    job = context.job
    # What a job of a sweep has for itself is made when it starts.
    made = [context.paths.room] if context.paths.room else []
    for task, item in context.placed():
        if item.where is not DataLocation.HOST or job.host.is_local:
            continue
        path = host_path(item.parameter.value, context.paths.layout)
        if item.is_output:
            made.append(path)
        elif context.facts.kinds.get(path) == "-" and (
            item.is_of_unknown_type or not any(holds(each, path) for each in made)
        ):
            name = item.parameter.name
            raise PlanError(
                f"{job.host.name}: {task}.{name}: input {path} does not exist there",
                hint=f"it is on this machine, so: {name}=local:{path}"
                if os.path.exists(path)
                else f"create it there, or give another: {name}=PATH",
            )


def require_inputs_there(context: JobContext) -> None:
    """Refuse to run without an input that only the host could have had.

    Raises:
        PlanError: An input is neither here nor there.
    """
    cube = context.job.cube
    made: set[str] = set()
    for task, item in context.placed():
        value = item.parameter.value
        if item.is_output:
            made.add(value)
            continue
        if item.where is not DataLocation.WORKSPACE or item.local is None or item.local.exists():
            continue
        if value in made or not is_made_by_cube(item, cube):
            continue
        there = context.paths.mirror(item.local, cube)
        if context.line.connection.call("mlcr_kind", there).text.strip() == "-":
            raise PlanError(
                f"{context.job.host.name}: {task}.{item.parameter.name}: input {value!r} is "
                "neither on this machine nor on the host",
                hint="run the task that makes it first",
            )


def launch_job(context: JobContext, handle: JobHandle, commands: BuiltTasks) -> None:
    """Start the tasks under their supervisor; from here on they need no client."""
    job, line = context.job, context.line
    starts = _starts(context, handle, commands)
    expected = Prerequisites(
        directories=tuple(
            dict.fromkeys(path for _, built in commands for path in built.directories)
        ),
        copies=tuple(dict.fromkeys(copy for _, built in commands for copy in built.copies)),
    )
    if job.trial is not None:
        line.steadily(partial(_write, generated_file_paths(context.paths, job.trial)))
    # Until the host has answered, nobody knows whether it runs.
    context.progress.launched = True
    line.attach_hint = f"mlcube-remote attach {handle.run_id}"
    environment = _environment(job, commands)
    for start in starts:
        context.events.note(Level.DEBUG, f"run {start.task}: {quote_words(start.argv)}")
    context.events.note(Level.DEBUG, f"run: logs in {handle.job_dir}")
    try:
        line.steadily(lambda at: launch(at, handle, starts, environment, expected=expected))
    except HostError as problem:
        context.progress.launched = isinstance(problem, StateUnknownError)
        raise


def _starts(context: JobContext, handle: JobHandle, commands: BuiltTasks) -> tuple[TaskStart, ...]:
    job, uid = context.job, context.facts.uid
    secrets = tuple(job.env)
    return tuple(
        TaskStart(
            task=task.task,
            argv=launched(
                built, job.launch(number, task.task, built, uid=uid, paths=context.paths), secrets
            ),
            engine=task.engine,
            container=task.container,
            own=owning(built, root=context.paths.root, uid=uid, labels=job.labels(task.task, uid)),
        )
        for number, (task, (_, built)) in enumerate(zip(handle.tasks, commands, strict=True), 1)
    )


def _environment(job: Job, commands: BuiltTasks) -> dict[str, Secret]:
    """Return what the supervisor exports: the secrets, under the names that the engine takes."""
    public = {
        name: Secret(value) for _, built in commands for name, value in built.environment.items()
    }
    engine = commands[0][1].engine
    handed = {secret_variable(job.platform, engine, name): value for name, value in job.env.items()}
    return {**public, **handed}


def _write(files: Sequence[tuple[GeneratedFile, str]], connection: Connection) -> None:
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
    made = connection.call("mlcr_prepare", *Prerequisites(directories=tuple(directories)).words)
    if not made.ok:
        raise preparation_error(connection, made)
