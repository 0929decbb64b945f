# SPDX-License-Identifier: Apache-2.0
"""Derive everything that a job needs from its spec: paths, data, commands, outputs.

:func:`make_plan` is called before the host is probed, with assumptions about what it has; again
with the answers; and once more if GPUs were leased.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.commands.build import BuiltCommands, build_all
from mlcube_remote.commands.launch_options import launch_options
from mlcube_remote.commands.model import (
    Argv,
    ImageCommands,
    Options,
    SentContext,
    Target,
    TaskCommands,
)
from mlcube_remote.commands.settings import Settings
from mlcube_remote.commands.sif_home import private_directories
from mlcube_remote.cube.host_paths import KindOf, contains, host_path
from mlcube_remote.plan.build_context import BuildContext, outer_context
from mlcube_remote.plan.gpu_requests import Device, format_devices
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.late_paths import LatePaths, late_paths
from mlcube_remote.plan.mirrored_files import kind_in_mirrors, missing_here, read_mirrored
from mlcube_remote.plan.missing_recipe import warn_about_missing_recipe
from mlcube_remote.plan.outputs import DownloadFolder, DownloadRequest, download_folders
from mlcube_remote.plan.outputs_left import outputs_in_place, outputs_on_host
from mlcube_remote.plan.placed_job import (
    PlacedJob,
    ProbedFacts,
    inputs_in_mirror,
    optional_inputs,
    place_job,
)
from mlcube_remote.plan.placement import DataLocation, PlacedParameter, with_placed_values
from mlcube_remote.plan.slurm import (
    BatchJob,
    batch_job,
    container_options,
    count_gpus,
    is_batch,
    scratch_target,
)
from mlcube_remote.plan.slurm_image import image_builder
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.runs.ids import container_name, slug
from mlcube_remote.secret import Secret

LABEL = "org.mlcommons.mlcube-remote"
"""Prefix of our container labels; only containers that have them are ever stopped or removed."""

UNKNOWN_UID = "UID"
"""Placeholder for the user's id before the host has been probed."""


@attrs.frozen(kw_only=True)
class BuiltTask:
    """One task with its commands."""

    name: str
    commands: TaskCommands
    container: str
    """Name of its container; empty if the platform has no container names."""
    labels: Mapping[str, str]
    """Labels of its containers."""
    launch: Argv
    """Options that the launcher inserts into the last command."""
    late: LatePaths
    """What the host checks and creates when the task begins."""


@attrs.frozen(kw_only=True)
class JobPlan(PlacedJob):
    """Everything that is derived from a spec, and from the probe if that has been done."""

    uid: str
    kinds: Mapping[str, str]
    """Kinds of paths as probed; empty before the probe."""
    settings: Settings
    image: ImageCommands
    tasks: tuple[BuiltTask, ...]
    """Empty if only the image is prepared."""
    devices: tuple[Device, ...] = ()
    """GPUs that were leased for the job."""
    gpus: int
    """Number of GPUs to lease."""
    env: Mapping[str, Secret]
    """Variables that the container gets by name."""
    batch: BatchJob | None
    """What Slurm gets; ``None``: the host starts the tasks itself."""
    context: BuildContext | None
    """The image's build context if it is outside the cube, and sent; else ``None``."""
    host_recipe: str
    """Recipe of the image if only the host can say whether it exists; else empty."""
    assumed_kinds: Mapping[str, str]
    """Inputs whose kind only the host knows → the kind that is assumed before the probe."""
    probe_paths: tuple[str, ...]
    """Paths whose kind is probed on the host."""
    folders: tuple[DownloadFolder, ...]
    """Outputs to download."""
    in_place: tuple[DownloadRequest, ...]
    """Outputs that the job writes on this machine, with absolute paths."""
    on_host: tuple[DownloadRequest, ...]
    """Outputs that stay on the host, with absolute paths."""
    lock: str
    """Path of the lock for the workspace: only one run at a time writes there."""
    group: str
    """Jobs with the same group share the workspace: those of one sweep. Empty: no other job."""


def make_plan(
    spec: JobSpec, facts: ProbedFacts | None = None, devices: tuple[Device, ...] = ()
) -> JobPlan:
    """Derive the plan of a job.

    Args:
        spec: The job.
        facts: Result of the probe. ``None``: assume that an input of unknown type is a directory
            and that a recipe on the host exists.
        devices: GPUs that were leased for the job.

    Raises:
        PlanError: Cube, platform, settings and parameters do not fit together.
    """
    return plan_placed(place_job(spec, facts), facts, devices)


def plan_placed(
    job: PlacedJob, facts: ProbedFacts | None, devices: tuple[Device, ...] = ()
) -> JobPlan:
    """Add the commands to a placed job; see :func:`make_plan`."""
    spec, paths = job.spec, job.paths
    uid = UNKNOWN_UID if facts is None else facts.uid
    kinds = {} if facts is None else facts.kinds
    in_place = [item for _, item in job.task_parameters() if item.where is DataLocation.HOST]
    untyped = [item for item in (*in_place, *inputs_in_mirror(job)) if item.is_of_unknown_type]
    probed = dict.fromkeys(_host_path(item, paths) for item in (*in_place, *untyped))
    optional = optional_inputs(job)
    assumed = {}
    if not spec.host.is_local:
        assumed = {(path := _host_path(item, paths)): _kind(path, optional) for item in untyped}

    def build(assume: Mapping[str, str]) -> BuiltCommands:
        known = {path: kind for path, kind in kinds.items() if kind != "-"}
        every = {**optional, **assume, **known}
        kind_of = kind_in_mirrors(_mirrors(job), every, is_local=spec.host.is_local)
        return _build(job, kind_of, devices, facts)

    built, env = build(assumed), spec.environment
    recipe = _host_recipe(job, built.image)
    deciding = _deciding_files(job, built.settings)
    if facts is None and (recipe or deciding):
        outside = [path for path in (recipe, *deciding) if not contains(paths.cube, path)]
        built = build({**assumed, **dict.fromkeys(outside, "f")})
    return JobPlan(
        spec=spec,
        paths=paths,
        data=job.data,
        copies=job.copies,
        uid=uid,
        kinds=kinds,
        settings=built.settings,
        image=_image(spec, built),
        tasks=_tasks(job, built.tasks, uid, devices, tuple(env)),
        devices=devices,
        gpus=count_gpus(spec),
        env=env,
        batch=batch_job(spec, paths.job_dir) if is_batch(spec) else None,
        context=_context(job, built.settings, built.image),
        host_recipe=recipe,
        assumed_kinds=assumed,
        probe_paths=tuple(dict.fromkeys((*probed, *([recipe] if recipe else ()), *deciding))),
        folders=_folders(job, built.tasks),
        in_place=outputs_in_place(job),
        on_host=outputs_on_host(job),
        lock=f"{paths.root}/locks/{slug('workspace', of=paths.workspace)}",
        group="" if spec.trial is None else spec.request.run_id,
    )


def _host_path(item: PlacedParameter, paths: HostPaths) -> str:
    return host_path(item.parameter.value, paths.layout)


def _kind(path: str, optional: Mapping[str, str]) -> str:
    """Return the kind of an input as assumed before the probe.

    A directory is mounted as it is; but not every engine can mount each name.
    """
    if path in optional:
        return optional[path]
    name = posixpath.basename(path)
    return "f" if ":" in name and ("," in name or '"' in name) else "d"


def _build(
    job: PlacedJob, kind_of: KindOf, devices: Sequence[Device], facts: ProbedFacts | None
) -> BuiltCommands:
    spec, request = job.spec, job.spec.request
    tasks = () if request.configure_only else job.data.items()
    is_podman = facts is not None and spec.platform == "docker" and facts.docker_is_podman
    target = Target(
        platform=spec.platform,
        layout=job.paths.layout,
        kind_of=kind_of,
        options=_with_devices(
            container_options(spec), "podman" if is_podman else spec.platform, devices
        ),
        host_settings=spec.host.settings,
        user_settings=spec.user_settings,
        programs=() if facts is None else facts.programs,
        docker_is_podman=is_podman,
        has_leased_gpus=bool(devices),
        sent_context=partial(_sent_context, job),
        read=partial(read_mirrored, spec.cube, job.paths),
        trust=request.trust,
        scratch=scratch_target(spec, job.paths.root, job.paths.job_dir),
    )
    placed = [with_placed_values(spec.cube.tasks[name], items) for name, items in tasks]
    return build_all(spec.cube, placed, target)


def _deciding_files(job: PlacedJob, settings: Settings) -> tuple[str, ...]:
    """Return the files of the host that decide about the settings, and are not sent to it."""
    decided_by = () if job.spec.host.is_local else settings.decided_by
    return missing_here(_mirrors(job), decided_by)


def _mirrors(job: PlacedJob) -> dict[str, Path]:
    """Return directory of the host → the directory of this machine that it mirrors."""
    cube, paths = job.spec.cube, job.paths
    return {paths.workspace: cube.workspace, paths.cube: cube.root}


def _outer_context(job: PlacedJob, value: str) -> BuildContext | None:
    return None if job.spec.host.is_local else outer_context(job.spec.cube, job.paths.root, value)


def _sent_context(job: PlacedJob, value: str) -> SentContext | None:
    context = _outer_context(job, value)
    if context is None:
        return None
    kind_of = kind_in_mirrors({context.remote: context.local}, {}, is_local=False)
    return SentContext(path=context.remote, kind_of=kind_of)


def _image(spec: JobSpec, built: BuiltCommands) -> ImageCommands:
    image = warn_about_missing_recipe(spec.cube, built.settings, built.image)
    return attrs.evolve(image, builder=image_builder(spec.host, spec.platform))


def _context(job: PlacedJob, settings: Settings, image: ImageCommands) -> BuildContext | None:
    """Return the build context to send; an image that is pulled needs none."""
    return _outer_context(job, settings.text("build_context")) if image.context else None


def _with_devices(options: Options, platform: str, devices: Sequence[Device]) -> Options:
    if not devices:
        return options
    return attrs.evolve(options, gpus=format_devices(platform, devices))


def _host_recipe(job: PlacedJob, image: ImageCommands) -> str:
    """Return the image's recipe if only the host knows whether it exists.

    A recipe outside the cube is not sent: its absolute path is a path of the host, as for data.
    """
    source = image.source
    is_path = source.startswith(("/", "~/"))
    is_known = job.spec.host.is_local or any(
        contains(directory, source) for directory in (job.paths.cube, image.context) if directory
    )
    return source if is_path and not is_known else ""


def _tasks(
    job: PlacedJob,
    built: Sequence[TaskCommands],
    uid: str,
    devices: Sequence[Device],
    secrets: Sequence[str],
) -> tuple[BuiltTask, ...]:
    spec = job.spec
    has_names = spec.platform in CONTAINER_ENGINES
    tasks = []
    late = late_paths(job, built)
    # Nothing is built if only the image is prepared.
    for number, (task, commands) in enumerate(zip(job.data, built, strict=False), 1):
        name = container_name(uid, spec.id, number)
        labels = _labels(spec, task, uid, devices)
        launch = launch_options(
            commands,
            name=name,
            id_file=f"{job.paths.task_dir(number)}/cid",
            labels=labels,
            private=job.paths.private_dir(number),
            secrets=secrets,
        )
        private = private_directories(job.paths.private_dir(number), commands.private_home)
        copies = (*commands.copies, *job.copies.get(task, ()))
        tasks.append(
            BuiltTask(
                name=task,
                commands=attrs.evolve(
                    commands, copies=copies, directories=(*commands.directories, *private)
                ),
                container=name if has_names else "",
                labels=labels,
                launch=launch,
                late=late[task],
            )
        )
    return tuple(tasks)


def _labels(spec: JobSpec, task: str, uid: str, devices: Sequence[Device]) -> dict[str, str]:
    labels = {
        f"{LABEL}.run": spec.request.run_id,
        f"{LABEL}.host": spec.host.name,
        f"{LABEL}.task": task,
        f"{LABEL}.owner": uid,
    }
    if devices:
        labels[f"{LABEL}.gpus"] = ",".join(device.uuid for device in devices)
    return labels


def _folders(job: PlacedJob, built: Sequence[TaskCommands]) -> tuple[DownloadFolder, ...]:
    if job.spec.host.is_local:
        return ()
    folders = download_folders(
        job.spec.cube, job.task_parameters(), job.paths, results=job.spec.results
    )
    mounts = dict.fromkeys(mount for commands in built for mount in commands.outputs)
    return tuple(attrs.evolve(folder, mounts=tuple(mounts)) for folder in folders)
