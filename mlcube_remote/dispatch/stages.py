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
from mlcube_remote.commands.model import ImageCommands
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
from mlcube_remote.plan.job_plan import BuiltTask, JobPlan, uploads
from mlcube_remote.plan.placement import DataLocation, is_made_by_cube
from mlcube_remote.plan.sweep_targets import GeneratedFile
from mlcube_remote.plan.trials import generated_file_paths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, slug
from mlcube_remote.runs.locks import alone
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_PIECE = 64 * 1024


@attrs.frozen(kw_only=True)
class JobContext:
    """Everything that the stages of one job work with."""

    plan: JobPlan
    run: RunContext
    events: JobEvents
    line: Line
    facts: HostFacts
    progress: JobProgress

    @property
    def waits(self) -> bool:
        """Whether it waits on its host for what others have: one of a pool may go elsewhere."""
        return self.run.wait and self.plan.spec.trial is None

    def remember(self, handle: JobHandle) -> None:
        """Write the ticket into this machine's record."""
        self.progress.handle = handle
        if self.run.store is not None:
            record_planned(self.run.store, handle, self.plan.spec.attempt)


def make_handle(plan: JobPlan) -> JobHandle:
    """Return what a client needs to follow the job."""
    spec, cube = plan.spec, plan.spec.cube
    return JobHandle(
        run_id=spec.request.run_id,
        job_id=spec.id,
        host=spec.host.name,
        platform=spec.platform,
        cube=cube.name or cube.root.name,
        client=client_name(),
        root=plan.paths.root,
        tasks=tuple(
            TaskHandle(task=task.name, engine=task.commands.engine, container=task.container)
            for task in plan.tasks
        ),
        folders=plan.folders,
        in_place=plan.in_place,
        timeout=spec.request.timeout,
        job=spec.own_name,
        parameters=spec.point,
    )


def sync_stage(context: JobContext) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the image is there.

    Whether a SIF file still is what its recipe says can only be asked when the recipe is there.
    """
    needed = context.plan.image
    if needed.platform not in CONTAINER_ENGINES:
        _sync(context, image=needed.image)
        return context.line.steadily(lambda at: find_image(at, needed, context.plan.paths))
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as aside:
        looking: Future[Image] = aside.submit(
            find_image, context.line.connection, needed, context.plan.paths
        )
        _sync(context)
        return context.line.steadily(_once(looking, context, needed))


def _sync(context: JobContext, *, image: str = "") -> None:
    if context.plan.spec.host.is_local:
        return
    context.line.connection.expect_channel()
    with context.events.stage(Stage.SYNC) as notes:
        plan = context.plan
        every = upload_trees(plan.spec.request.cube, uploads(plan), plan.paths, image=image)
        # The mirror is this user's and this machine's: nobody else ever fills it.
        mirror = slug(context.plan.spec.host.name, of=str(context.plan.spec.request.cube.root))
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
        return find_image(connection, needed, context.plan.paths)

    return look


def configure_stage(context: JobContext, image: Image) -> None:
    """Make sure that the image is there, and that the machine can run it."""
    needed = context.plan.image
    # Of a SIF file it is known whether another build would make another one.
    in_engine = needed.platform in CONTAINER_ENGINES
    always = needed.before_each_run or (context.plan.spec.request.configure_only and in_engine)
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
    configure(connection, context.events, context.plan.paths, needed)
    return find_image(connection, needed, context.plan.paths)


def require_data_there(context: JobContext) -> None:
    """Refuse to run on data that the host was to have in place, and does not have.

    Raises:
        PlanError: An input is not there, and no task of the job makes it.
    """
    plan = context.plan
    job = plan.spec
    # What a job of a sweep has for itself is made when it starts.
    made = [context.plan.paths.room] if context.plan.paths.room else []
    for task, item in context.plan.task_parameters():
        if item.where is not DataLocation.HOST or job.host.is_local:
            continue
        path = host_path(item.parameter.value, context.plan.paths.layout)
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
    cube = context.plan.spec.cube
    made: set[str] = set()
    for task, item in context.plan.task_parameters():
        value = item.parameter.value
        if item.is_output:
            made.add(value)
            continue
        if item.where is not DataLocation.WORKSPACE or item.local is None or item.local.exists():
            continue
        if value in made or not is_made_by_cube(item, cube):
            continue
        there = context.plan.paths.mirror(item.local, cube)
        if context.line.connection.call("mlcr_kind", there).text.strip() == "-":
            raise PlanError(
                f"{context.plan.spec.host.name}: {task}.{item.parameter.name}: input {value!r} is "
                "neither on this machine nor on the host",
                hint="run the task that makes it first",
            )


def launch_job(context: JobContext, handle: JobHandle) -> None:
    """Start the tasks under their supervisor; from here on they need no client."""
    plan, line = context.plan, context.line
    built = [task.commands for task in plan.tasks]
    expected = Prerequisites(
        directories=tuple(dict.fromkeys(path for each in built for path in each.directories)),
        copies=tuple(dict.fromkeys(copy for each in built for copy in each.copies)),
    )
    if plan.spec.trial is not None:
        line.steadily(partial(_write, generated_file_paths(plan.paths, plan.spec.trial)))
    # Until the host has answered, nobody knows whether it runs.
    context.progress.launched = True
    line.attach_hint = f"mlcube-remote attach {handle.run_id}"
    starts = [_task_start(plan, task) for task in plan.tasks]
    for start in starts:
        context.events.note(Level.DEBUG, f"run {start.task}: {quote_words(start.argv)}")
    context.events.note(Level.DEBUG, f"run: logs in {handle.job_dir}")
    try:
        environment = _environment(plan)
        line.steadily(lambda at: launch(at, handle, starts, environment, expected=expected))
    except HostError as problem:
        context.progress.launched = isinstance(problem, StateUnknownError)
        raise


def _task_start(plan: JobPlan, task: BuiltTask) -> TaskStart:
    commands = task.commands
    return TaskStart(
        task=task.name,
        argv=launched(commands, task.launch, tuple(plan.env)),
        engine=commands.engine,
        container=task.container,
        own=owning(commands, root=plan.paths.root, uid=plan.uid, labels=task.labels),
    )


def _environment(plan: JobPlan) -> dict[str, Secret]:
    """Return the variables for the supervisor: secrets have the names that the engine expects."""
    platform, engine = plan.image.platform, plan.tasks[0].commands.engine
    public = {
        name: Secret(value)
        for task in plan.tasks
        for name, value in task.commands.environment.items()
    }
    secrets = {secret_variable(platform, engine, name): item for name, item in plan.env.items()}
    return {**public, **secrets}


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
