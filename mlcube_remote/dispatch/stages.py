# SPDX-License-Identifier: Apache-2.0
"""The stages of a job before its tasks run: probe, check, upload, configure, launch."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mlcube_remote.commands.chown import chown_arguments
from mlcube_remote.commands.launch_options import insert_options, secret_variable
from mlcube_remote.cube.host_paths import contains, host_path
from mlcube_remote.dispatch.configure import configure
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import HostError, PlanError, StateUnknownError, TransferError
from mlcube_remote.events.model import Stage
from mlcube_remote.facts import gpus
from mlcube_remote.facts.gpu_leases import lease_gpus
from mlcube_remote.facts.images import Image, find_image, require_architecture
from mlcube_remote.facts.probe import HostFacts, clock_warning, probe_host, require_rsync
from mlcube_remote.files.rsync import TransferStats
from mlcube_remote.files.upload import UploadResult, UploadTree, upload, upload_trees
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.launch import Prerequisites, TaskStart, launch, preparation_error
from mlcube_remote.plan.gpu_requests import Device
from mlcube_remote.plan.host_paths import cube_directory
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import BuiltTask, JobPlan, make_plan
from mlcube_remote.plan.placed_job import uploads
from mlcube_remote.plan.placement import DataLocation, is_made_by_cube
from mlcube_remote.plan.sweep_targets import GeneratedFile
from mlcube_remote.plan.trials import generated_file_paths
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, slug
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_CHUNK = 64 * 1024
"""Characters of a file that one call writes: a shell reads them all at once."""


def probe(job: JobContext, spec: JobSpec) -> HostFacts:
    """Ask the host what it is and has; warn if its clock is wrong.

    Raises:
        HostUnfitError: ``remote_root`` or rsync cannot be used.
    """
    job.connection.current.expect_channel()
    facts = job.connection.retrying(partial(_probe, spec, make_plan(spec).probe_paths))
    job.debug(f"connect: {facts.user} in {facts.root}, {facts.machine}, rsync {facts.rsync or '-'}")
    if warning := clock_warning(facts):
        job.warn(warning)
    return facts


def _probe(spec: JobSpec, paths: Sequence[str], connection: Connection) -> HostFacts:
    host = spec.host
    directory = "" if host.is_local else cube_directory(spec.request.cube)
    facts = probe_host(connection, remote_root=host.remote_root, cube_room=directory, paths=paths)
    if not host.is_local:
        require_rsync(connection, facts)
    return facts


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
        on_host=plan.on_host,
        timeout=spec.request.timeout,
        fresh_outputs=spec.request.fresh_outputs,
        job=spec.own_name,
        parameters=spec.point,
    )


def require_data_on_host(plan: JobPlan) -> None:
    """Reject input data of the host that the probe has not found.

    Raises:
        PlanError: An input does not exist, and no task of the job makes it.
    """
    if plan.spec.host.is_local:
        return
    # What a job of a sweep has in its own directory is made at the launch.
    made = [plan.paths.own_dir] if plan.paths.own_dir else []
    for task, item in plan.task_parameters():
        if item.where is not DataLocation.HOST:
            continue
        path = host_path(item.parameter.value, plan.paths.layout)
        if item.is_output:
            made.append(path)
        elif plan.kinds.get(path) == "-" and (
            item.is_of_unknown_type or not any(contains(each, path) for each in made)
        ):
            name = item.parameter.name
            raise PlanError(
                f"{plan.spec.host.name}: {task}.{name}: input {path} does not exist on the host",
                hint=f"it is on this machine, so: {name}=local:{path}"
                if os.path.exists(path)
                else f"create it on the host, or give another: {name}=PATH",
            )


def require_mirrored_inputs(job: JobContext, plan: JobPlan) -> None:
    """Reject inputs that are neither on this machine nor in the mirror.

    Raises:
        PlanError: There is such an input.
    """
    cube = plan.spec.cube
    made: set[str] = set()
    for task, item in plan.task_parameters():
        value = item.parameter.value
        if item.is_output:
            made.add(value)
            continue
        if item.where is not DataLocation.WORKSPACE or item.local is None or item.local.exists():
            continue
        if value in made or not is_made_by_cube(item, cube):
            continue
        path = plan.paths.mirror(item.local, cube)
        if job.connection.current.call("mlcr_print_kind", path).text.strip() == "-":
            raise PlanError(
                f"{plan.spec.host.name}: {task}.{item.parameter.name}: input {value!r} is "
                "neither on this machine nor on the host",
                hint="run the task that makes it first",
            )


def lease_devices(job: JobContext, plan: JobPlan, handle: JobHandle) -> tuple[Device, ...]:
    """Lease the GPUs that the job needs; return none if it needs none, or the host has no list.

    Raises:
        BusyError: Other jobs have them.
    """
    if not plan.gpus:
        return ()
    # A job of a sweep does not wait: it may get another host.
    is_waiting = job.run.wait and plan.spec.trial is None
    first = plan.tasks[0]
    lease = partial(
        lease_gpus, job_dir=handle.job_dir, engine=first.commands.engine if first.container else ()
    )
    devices = job.connection.retrying(
        lambda at: lease(
            at,
            count=plan.gpus,
            only=plan.spec.host.gpus or (),
            wait=job.waiting if is_waiting else None,
        )
    )
    if devices:
        names = [device.uuid for device in devices]
        job.reconnect.gpus = lambda at: lease(at, count=len(names), only=names)
        numbers = ", ".join(device.index for device in devices)
        job.info(f"GPU{'s' if len(devices) > 1 else ''} {numbers} for this job")
    return devices


def warn_about_commands(job: JobContext, plan: JobPlan) -> None:
    """Show the warnings of the job's commands, and warn about missing GPUs.

    Raises:
        HostUnfitError: The command line requests GPUs, and there are none.
    """
    built = [task.commands for task in plan.tasks]
    for warning in dict.fromkeys(text for each in (plan.image, *built) for text in each.warnings):
        job.warn(warning)
    requested = plan.spec.request.options.gpus
    if missing := gpus.missing_gpu_warning(job.connection.current, built, requested):
        job.warn(missing)


def upload_and_find_image(job: JobContext, plan: JobPlan) -> Image:
    """Bring the mirror up to date; meanwhile, ask whether the host has the image.

    Whether a SIF file fits its recipe can be asked only after the recipe has been sent.
    """
    find = partial(_find_image, plan)
    if plan.image.platform not in CONTAINER_ENGINES:
        _upload(job, plan, image=plan.image.image)
        return job.connection.retrying(find)
    with ThreadPoolExecutor(1, thread_name_prefix="mlcr-image") as threads:
        asked = threads.submit(find, job.connection.current)
        _upload(job, plan)
        try:
            return asked.result()
        except (StateUnknownError, TransferError):
            # Not earlier: on a slow network the upload may delay the answer, and reconnecting
            # would interrupt the upload.
            return job.connection.retrying(find)


def _find_image(plan: JobPlan, connection: Connection) -> Image:
    return find_image(connection, plan.image, plan.paths)


def _upload(job: JobContext, plan: JobPlan, *, image: str = "") -> None:
    if plan.spec.host.is_local:
        return
    job.connection.current.expect_channel()
    with job.events.stage(Stage.SYNC) as notes:
        cube = plan.spec.request.cube
        trees = upload_trees(cube, uploads(plan), plan.paths, image=image)
        # Only this user fills the mirror, and only from this machine: a local lock is enough.
        mirror = slug(plan.spec.host.name, of=str(cube.root))
        with exclusive(mirror, lambda: job.info("waiting: another client is sending this cube")):
            notes.detail = str(_upload_trees(job, trees))


def _upload_trees(job: JobContext, trees: Sequence[UploadTree]) -> TransferStats:
    parents = [posixpath.dirname(tree.remote) for tree in trees if not tree.mirror]
    if parents:
        job.connection.retrying(partial(_make_directories, parents))
    total = TransferStats(0, 0)
    for tree in trees:
        job.run.interrupts.check()
        job.debug(f"sync: {tree.local} to {tree.remote}")
        sent = job.connection.retrying(partial(_upload_tree, job, tree))
        total = TransferStats(total.files + sent.moved.files, total.size + sent.moved.size)
        for link in sent.left_out:
            job.warn(f"not sent: {link} is a link that leaves the cube")
    return total


def _upload_tree(job: JobContext, tree: UploadTree, connection: Connection) -> UploadResult:
    return upload(connection, tree, progress=partial(job.events.progress, Stage.SYNC))


def _make_directories(directories: Sequence[str], connection: Connection) -> None:
    words = Prerequisites(directories=tuple(directories)).words
    reply = connection.call("mlcr_prepare_paths", *words)
    if not reply.ok:
        raise preparation_error(connection, reply)


def configure_image(job: JobContext, plan: JobPlan, facts: HostFacts, image: Image) -> None:
    """Pull or build the image if necessary, and check that the machine can run it.

    Raises:
        ConfigureError: It could not be pulled or built.
        HostUnfitError: It is for another architecture.
    """
    needed = plan.image
    # A SIF file that fits its recipe is not built again: the result would be the same.
    in_engine = needed.platform in CONTAINER_ENGINES
    is_forced = needed.before_each_run or (plan.spec.request.configure_only and in_engine)
    if image.stale:
        job.info(f"the recipe of {needed.image} changed: building it again")
    with job.events.stage(Stage.CONFIGURE) as notes:
        if image.present and not is_forced:
            notes.skipped, notes.detail = True, "image present"
        else:
            image = job.connection.retrying(partial(_configure, job, plan))
        warning = job.connection.retrying(
            lambda at: require_architecture(at, facts, image, needed.image)
        )
    if warning:
        job.warn(warning)


def _configure(job: JobContext, plan: JobPlan, connection: Connection) -> Image:
    configure(connection, job.events, plan.paths, plan.image)
    return find_image(connection, plan.image, plan.paths)


def write_generated_files(job: JobContext, plan: JobPlan) -> None:
    """Write the input files that are generated for one job of a sweep."""
    if plan.spec.trial is not None:
        files = generated_file_paths(plan.paths, plan.spec.trial)
        job.connection.retrying(partial(_write_files, files))


def launch_job(job: JobContext, plan: JobPlan, handle: JobHandle) -> None:
    """Start the tasks under their supervisor, which needs no client.

    Raises:
        StateUnknownError: The host gave no answer: the tasks may run.
        HostError: The tasks could not be started.
    """
    built = [task.commands for task in plan.tasks]
    expected = Prerequisites(
        directories=tuple(dict.fromkeys(path for each in built for path in each.directories)),
        copies=tuple(dict.fromkeys(copy for each in built for copy in each.copies)),
    )
    starts = [_task_start(plan, task) for task in plan.tasks]
    for start in starts:
        job.debug(f"run {start.task}: {quote_words(start.argv)}")
    job.debug(f"run: logs in {handle.job_dir}")
    environment = _supervisor_environment(plan)
    job.connection.retrying(lambda at: launch(at, handle, starts, environment, expected=expected))


def _task_start(plan: JobPlan, task: BuiltTask) -> TaskStart:
    commands = task.commands
    return TaskStart(
        task=task.name,
        argv=insert_options(commands, task.launch, tuple(plan.env)),
        engine=commands.engine,
        container=task.container,
        own=chown_arguments(commands, root=plan.paths.root, uid=plan.uid, labels=task.labels),
    )


def _supervisor_environment(plan: JobPlan) -> dict[str, Secret]:
    """Return the variables for the supervisor: secrets have the names that the engine expects."""
    platform, engine = plan.image.platform, plan.tasks[0].commands.engine
    public = {
        name: Secret(value)
        for task in plan.tasks
        for name, value in task.commands.environment.items()
    }
    secrets = {secret_variable(platform, engine, name): item for name, item in plan.env.items()}
    return {**public, **secrets}


def _write_files(files: Sequence[tuple[GeneratedFile, str]], connection: Connection) -> None:
    for file, path in files:
        text = file.text
        chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)] or [""]
        for number, chunk in enumerate(chunks):
            mode = "append" if number else "replace"
            reply = connection.call("mlcr_write_file", path, mode, chunk)
            if not reply.ok:
                raise HostError(connection.name, f"{path} could not be written: {reply.message}")
