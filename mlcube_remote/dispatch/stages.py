# SPDX-License-Identifier: Apache-2.0
"""The stages of a job before its launch: probe, check, lease, upload, configure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial

import attrs

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.dispatch.launch import container_engine
from mlcube_remote.errors import (
    ConfigureError,
    StalledError,
    StateUnknownError,
    TransferError,
)
from mlcube_remote.events.model import Stage
from mlcube_remote.facts.engine_kind import docker_question
from mlcube_remote.facts.gpu_leases import lease_gpus
from mlcube_remote.facts.gpus import missing_gpu_warning
from mlcube_remote.facts.images import Image, find_image, require_architecture
from mlcube_remote.facts.limits import dropped_limit_warning
from mlcube_remote.facts.probe import HostFacts, clock_warning, probe_host, require_rsync
from mlcube_remote.files.build_context import context_trees
from mlcube_remote.files.complete_inputs import follow_links
from mlcube_remote.files.rsync import TransferStats
from mlcube_remote.files.upload import UploadTree, job_trees
from mlcube_remote.formatting import list_first
from mlcube_remote.jobs.handle import JobHandle, TaskHandle
from mlcube_remote.jobs.launch import Prerequisites, preparation_error
from mlcube_remote.plan.confined import Confined, confine
from mlcube_remote.plan.gpu_requests import Device
from mlcube_remote.plan.host_paths import cube_directory
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.requirements import find_empty_inputs
from mlcube_remote.plan.uses import image_labels, sources_label
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import client_name, slug
from mlcube_remote.runs.locks import exclusive
from mlcube_remote.transport.base import Connection


def probe(job: JobContext, spec: JobSpec) -> HostFacts:
    """Ask the host what it is and has; warn if its clock is wrong.

    Raises:
        HostUnfitError: ``remote_root`` or rsync cannot be used.
    """
    job.connection.current.expect_channel()
    plan = make_plan(spec)
    facts = job.connection.retrying(partial(_probe, plan))
    show_facts(job, facts)
    return facts


def show_facts(job: JobContext, facts: HostFacts) -> None:
    """Show what the host is, for debugging; warn if its clock is wrong."""
    job.debug(f"connect: {facts.user} in {facts.root}, {facts.machine}, rsync {facts.rsync or '-'}")
    if warning := clock_warning(facts):
        job.warn(warning)


def _probe(plan: JobPlan, connection: Connection) -> HostFacts:
    spec, host = plan.spec, plan.spec.host
    directory = "" if host.is_local else cube_directory(spec.request.cube)
    facts = probe_host(
        connection,
        remote_root=host.remote_root,
        cube_room=directory,
        paths=plan.probe_paths,
        env=docker_question(plan.image, [task.commands for task in plan.tasks]),
    )
    if not host.is_local:
        require_rsync(connection, facts)
    return facts


def make_handle(plan: JobPlan) -> JobHandle:
    """Return what a client needs to follow the job."""
    spec, cube = plan.spec, plan.spec.cube
    return JobHandle(
        run_id=spec.request.run_id,
        run_name=spec.request.name,
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
        grace=spec.request.grace,
        fresh_outputs=spec.request.fresh_outputs,
        launcher=spec.host.launcher,
        job=spec.own_name,
        parameters=spec.point,
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
    lease = partial(lease_gpus, job_dir=handle.job_dir, engine=container_engine(plan))
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
    """Show the warnings of the job's commands; warn about missing GPUs and dropped limits.

    Raises:
        HostUnfitError: The command line requests GPUs, and there are none; or limits, and the
            engine cannot apply them.
    """
    built = [task.commands for task in plan.tasks]
    warnings = dict.fromkeys(text for each in (plan.image, *built) for text in each.warnings)
    of_cube = set(plan.spec.cube.warnings)  # the same for all hosts
    for warning in (*warnings, *(find_empty_inputs(plan, plan.kinds) if built else ())):
        if warning in job.run.shown:
            continue
        if warning not in of_cube or job.run.is_first_warning(warning):
            job.warn(warning)
    if plan.batch is not None:
        return  # the login node's GPUs say nothing
    connection, options = job.connection.current, plan.spec.request.options
    if missing := missing_gpu_warning(connection, built, options.gpus):
        job.warn(missing)
    if dropped := dropped_limit_warning(connection, built, options):
        job.warn(dropped)


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
        trees = job_trees(plan, image=image)
        if plan.spec.copies_links:
            trees = tuple(map(follow_links, trees))
        trees = (*trees, *context_trees(plan.context))
        with mirror_lock(job, plan):
            notes.detail = str(_upload_trees(job, plan, trees))


def mirror_lock(job: JobContext, plan: JobPlan) -> AbstractContextManager[None]:
    """Hold the mirror of the cube, so that no other client changes it.

    Only this user fills it, and only from this machine: a local lock is enough.
    """
    name = slug(plan.spec.host.name, of=str(plan.spec.request.cube.root))
    return exclusive(name, lambda: job.info("waiting: another client is sending this cube"))


def _upload_trees(job: JobContext, plan: JobPlan, trees: Sequence[UploadTree]) -> TransferStats:
    from mlcube_remote.dispatch.whole_transfers import upload_whole  # noqa: PLC0415 - not for each run

    # The first is the cube.
    targets = [
        confine(tree.remote if tree.is_directory else posixpath.dirname(tree.remote), plan.paths)
        for tree in trees[1:]
    ]
    if targets:
        job.connection.retrying(partial(_make_directories, targets))
    total = TransferStats(0, 0)
    for tree in trees:
        job.run.interrupts.check()
        job.debug(f"sync: {tree.local} to {tree.remote}")
        sent = upload_whole(job, tree)
        total = TransferStats(total.files + sent.moved.files, total.size + sent.moved.size)
        if links := sent.left_out:
            what = "a link that leads" if len(links) == 1 else f"{len(links)} links that lead"
            job.warn(f"not sent: {list_first(links, 3)}: {what} out of the cube or to nothing")
    return total


def _make_directories(directories: Sequence[Confined], connection: Connection) -> None:
    words = Prerequisites(directories=tuple(directories)).words
    reply = connection.call("mlcr_prepare_paths", *words)
    if not reply.ok:
        raise preparation_error(connection, reply)


def configure_image(
    job: JobContext, plan: JobPlan, facts: HostFacts, image: Image, sources: str, *, again: bool
) -> Image:
    """Pull or build the image if necessary, and check that the machine can run it.

    Args:
        job: The job.
        plan: Its plan.
        facts: Its host.
        image: What the host has.
        sources: The digest of what it is built from, as this machine had it before the upload.
        again: Whether an engine pulls or builds also an image that the host has.

    Returns:
        The image as the host has it now.

    Raises:
        ConfigureError: It could not be pulled or built.
        HostUnfitError: It is for another architecture.
    """
    needed = plan.image
    # A SIF file that fits its recipe is not built again: the result would be the same. An engine
    # keeps the image that it has, as with MLCube.
    in_engine = needed.platform in CONTAINER_ENGINES
    is_forced = needed.before_each_run or (again and in_engine)
    if image.stale:
        job.info(f"the recipe of {needed.image} changed: building it again")
    with job.events.stage(Stage.CONFIGURE) as notes:
        if image.present and not is_forced:
            notes.skipped, notes.detail = True, "image present"
            image = _compare_sources(job, plan, image, sources)
        else:
            image = _configure_again(job, plan, sources)
        warning = job.connection.retrying(
            lambda at: require_architecture(at, facts, image, needed.image)
        )
    if warning:
        job.warn(warning)
    return image


def _compare_sources(job: JobContext, plan: JobPlan, image: Image, sources: str) -> Image:
    """Warn if the image that the host has was built from other files; return what it is."""
    name, cube = plan.image.image, plan.spec.request.cube.root
    if not image.sources.endswith(f" {name}") or not sources:
        return image  # not ours, or not known
    if image.sources == sources_label(name, sources):
        return image
    host = plan.spec.host.typed or plan.spec.host.name
    platform = plan.spec.request.platform
    options = [f"--host={host}", *([f"--platform={platform}"] if platform else [])]
    options += [] if cube.samefile(".") else [f"--mlcube={cube}"]
    command = shlex.join(["mlcube-remote", "configure", *options])
    job.warn(
        f"image {name} was built from another version of the cube's files, and is used as it is; "
        f"to build it again: {command}"
    )
    return attrs.evolve(image, is_other=True)


def _configure_again(job: JobContext, plan: JobPlan, sources: str) -> Image:
    """Configure, also if the connection breaks, but not again and again.

    Raises:
        ConfigureError: The image was not pulled or built.
    """
    try:
        return job.connection.retrying(partial(_configure, job, plan, sources))
    except StalledError as problem:
        raise ConfigureError(
            job.connection.name,
            f"the image {plan.image.image} is not complete: {problem.reason}",
            hint="check the network, and run it again",
        ) from problem


def _configure(job: JobContext, plan: JobPlan, sources: str, connection: Connection) -> Image:
    from mlcube_remote.dispatch.configure import configure  # noqa: PLC0415 - few runs need it

    labels = image_labels(plan.uid, plan.image.image, sources)
    configure(connection, job.events, plan.paths, plan.image, labels)
    return find_image(connection, plan.image, plan.paths)
