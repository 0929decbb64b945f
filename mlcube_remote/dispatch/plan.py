# SPDX-License-Identifier: Apache-2.0
"""From what was asked to what will be done: jobs, checked before any host is touched."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.commands.build import build, build_image
from mlcube_remote.commands.launch import launch_options
from mlcube_remote.commands.model import (
    Argv,
    ImageCommands,
    KindOf,
    Layout,
    Options,
    PathKind,
    TaskCommands,
)
from mlcube_remote.commands.paths import fill_in, holds, host_path
from mlcube_remote.commands.settings import merge
from mlcube_remote.commands.sif import unhonoured
from mlcube_remote.cube.model import NOTHING, Cube
from mlcube_remote.cube.system import NO_SYSTEM_SETTINGS, SystemSettings, UserPlatform
from mlcube_remote.dispatch.lease import Device, spelt, wanted
from mlcube_remote.dispatch.outcome import label
from mlcube_remote.dispatch.paths import HostPaths, host_paths
from mlcube_remote.dispatch.placement import (
    Placed,
    Where,
    made_by_cube,
    missing_inputs,
    place,
    replaced,
)
from mlcube_remote.dispatch.trial import Apart, Trial, apart
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host
from mlcube_remote.platforms import CONTAINER_ENGINES, PLATFORMS
from mlcube_remote.runs.ids import container_name, job_id
from mlcube_remote.secret import Secret
from mlcube_remote.yamlsource import nearest

LABEL = "org.mlcommons.mlcube-remote"
"""Prefix of our container labels; only what carries them is ever stopped or removed."""


@attrs.frozen(kw_only=True)
class Request:
    """One ``run`` or ``configure`` command, as asked."""

    cube: Cube
    hosts: tuple[Host, ...]
    tasks: tuple[str, ...]
    run_id: str
    platform: str | None = None
    """A platform's name, or that of one in ``system``."""
    system: SystemSettings = NO_SYSTEM_SETTINGS
    """The user's own platforms."""
    options: Options = Options()
    env: Mapping[str, Secret] = attrs.field(factory=dict)
    """Variables for the container, on top of each host's own."""
    trust_cube: bool = False
    """Whether mlcube.yaml may ask the engine for privileges."""
    configure_only: bool = False
    inventory: str | None = None
    """The inventory's file, absolute, where there is one."""
    timeout: int | None = None
    """Seconds that each task may take; its host ends it after that."""
    again: Mapping[str, int] | None = None
    """Of a run that was begun before: job's name → how often it will have been begun. Only these
    jobs are run; ``None``: all, for the first time."""
    trials: tuple[Trial, ...] = ()
    """The jobs of a sweep, or shards, for which the hosts are a pool; none: one job per host."""
    detach: bool = False
    """Whether nobody will be there to place jobs later."""


@attrs.frozen(kw_only=True)
class Job:
    """The tasks of one cube on one host, in order."""

    request: Request
    host: Host
    platform: str
    results: Path | None
    """Where outputs go when the run has several jobs; ``None``: into the workspace."""
    user_settings: Mapping[str, Any] = NOTHING
    """What the user's own file says of the platform, for whichever host."""
    trial: Trial | None = None
    """What the job of a sweep is given; ``None``: it is the only one on its host."""
    attempt: int = 1
    """How often it has been begun, this time included."""
    devices: tuple[Device, ...] = ()
    """GPUs that it has for itself."""

    @property
    def gpus(self) -> int:
        """How many GPUs it asks for that are to be its own."""
        sections = (*self.host.settings.values(), *self.cube.settings.values(), self.user_settings)
        return wanted(self.request.options, self.cube, self.platform, sections)

    @property
    def options(self) -> Options:
        """The command line's options, with the devices that were leased."""
        if not self.devices:
            return self.request.options
        return attrs.evolve(self.request.options, gpus=spelt(self.platform, self.devices))

    @property
    def cube(self) -> Cube:
        """The cube as this job has it."""
        return self.request.cube if self.trial is None else self.trial.cube

    @property
    def own_name(self) -> str:
        """The job's own name; nothing where its host has one job."""
        return "" if self.trial is None else self.trial.name

    @property
    def name(self) -> str:
        """What tells the job from the others of its run."""
        return self.own_name or self.host.name

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return label(self.own_name, self.host.name)

    @property
    def parameters(self) -> dict[str, str]:
        """What the command line gave the job's tasks: parameter → value."""
        tasks = self.request.cube.tasks
        given = {
            parameter.name: parameter.value
            for name in self.request.tasks
            for parameter in tasks[name].parameters
            if parameter.given
        }
        return given if self.trial is None else {**given, **self.trial.point.values}

    @property
    def host_home(self) -> Path:
        """The home directory, which is known beforehand only on this machine."""
        return Path.home()

    @property
    def env(self) -> Mapping[str, Secret]:
        """All variables that the container gets by name; the command line's win."""
        inherited = {
            name: Secret(os.environ[name]) if value is None else value
            for name, value in self.host.env.items()
            if value is not None or name in os.environ
        }
        return {**inherited, **self.request.env}

    def paths(self, *, root: str, home: str) -> HostPaths:
        """Return the job's paths on its host, once that has told its own."""
        return host_paths(
            self.host,
            self.cube,
            self.id,
            root=root,
            home=home,
            is_apart=self.trial is not None,
            results=self.results,
        )

    def placed(self, root: str) -> dict[str, tuple[Placed, ...]]:
        """Return task → parameters with the places of their data, for this ``remote_root``."""
        return dict(self._apart(root).placed)

    def _apart(self, root: str) -> Apart:
        cube = self.cube
        placed = {
            name: place(cube.tasks[name], cube, self.host, root=root) for name in self.request.tasks
        }
        if self.trial is None:
            return Apart(placed=placed, copies={})
        paths = self.paths(root=root, home="~")
        return apart(placed, self.trial, paths, is_local=self.host.is_local)

    def unasked_paths(self) -> HostPaths:
        """Return the job's paths as far as they are known before its host was asked."""
        home = str(self.host_home) if self.host.is_local else "~"
        return self.paths(root=self.host.remote_root, home=home)

    def presumed(self, paths: HostPaths) -> dict[str, str]:
        """Return what inputs are taken for, of which only their host can tell what they are.

        As directories they are mounted by themselves. When the host has told, the commands are
        built once more; it is then that those are refused which are not there.
        """
        if self.host.is_local:
            return {}
        return {
            host_path(item.parameter.value, paths.layout): "d"
            for items in self.placed(paths.root).values()
            for item in items
            if item.where is Where.HOST and item.is_of_unknown_type
        }

    def sent(self, root: str) -> list[Placed]:
        """Return the parameters whose data the host must have, in the order of their tasks.

        Where jobs share the mirror that is the data of all of them: it is sent once.
        """
        cubes = [trial.cube for trial in self.request.trials] or [self.request.cube]
        return [
            item
            for cube in cubes
            for name in self.request.tasks
            for item in place(cube.tasks[name], cube, self.host, root=root)
        ]

    def commands(
        self, paths: HostPaths, kinds: Mapping[str, str], programs: Collection[str] = ()
    ) -> tuple[tuple[str, TaskCommands], ...]:
        """Return (task, commands) in order.

        Args:
            paths: The job's paths.
            kinds: Absolute path on the host → ``f``, ``d`` or ``-`` where that is known; what is
                in the cube is looked up here, since it is mirrored; see also :meth:`presumed`.
            programs: Which of ``singularity`` and ``apptainer`` the host has, where that is known.
        """
        cube, its = self.cube, self._apart(paths.root)
        known = {path: kind for path, kind in kinds.items() if kind != "-"}
        kinds = {**self.presumed(paths), **known}
        kind_of = _kind_of(cube, paths, kinds, is_local=self.host.is_local)

        def built(name: str, placed: tuple[Placed, ...]) -> TaskCommands:
            commands = build(
                cube,
                replaced(cube.tasks[name], placed),
                platform=self.platform,
                host_settings=self.host.settings,
                user_settings=self.user_settings,
                layout=paths.layout,
                options=self.options,
                kind_of=kind_of,
                programs=programs,
                trusted=self.request.trust_cube,
            )
            copies = (*commands.copies, *its.copies.get(name, ()))
            return attrs.evolve(commands, copies=copies)

        return tuple((name, built(name, placed)) for name, placed in its.placed.items())

    def image_commands(
        self, paths: HostPaths, kinds: Mapping[str, str], programs: Collection[str] = ()
    ) -> ImageCommands:
        """Return the commands that bring the image to the host; see :meth:`commands`."""
        return build_image(
            self.cube,
            platform=self.platform,
            host_settings=self.host.settings,
            user_settings=self.user_settings,
            layout=paths.layout,
            kind_of=_kind_of(self.cube, paths, kinds, is_local=self.host.is_local),
            options=self.request.options,
            programs=programs,
            trusted=self.request.trust_cube,
        )

    @property
    def id(self) -> str:
        """The job's id."""
        again = f".{self.attempt}" if self.attempt > 1 else ""
        return job_id(self.request.run_id, f"{self.name}{again}")

    def launch(
        self, number: int, task: str, commands: TaskCommands, *, uid: str, paths: HostPaths
    ) -> Argv:
        """Return the options that name, label and confine the ``number``-th task's container."""
        return launch_options(
            commands,
            name=container_name(uid, self.id, number),
            id_file=f"{paths.task_dir(number)}/cid",
            labels=self.labels(task, uid),
            secrets=tuple(self.env),
        )

    def labels(self, task: str, uid: str) -> dict[str, str]:
        """Return the labels of a task's containers."""
        labels = {
            f"{LABEL}.run": self.request.run_id,
            f"{LABEL}.host": self.host.name,
            f"{LABEL}.task": task,
            f"{LABEL}.owner": uid,
        }
        if self.devices:
            labels[f"{LABEL}.gpus"] = ",".join(device.uuid for device in self.devices)
        return labels


def _kind_of(cube: Cube, paths: HostPaths, kinds: Mapping[str, str], *, is_local: bool) -> KindOf:
    mirrors = ((paths.workspace, cube.workspace), (paths.cube, cube.root))
    told = {"f": PathKind.FILE, "d": PathKind.DIRECTORY}

    def kind_of(path: str) -> PathKind | None:
        for there, local in mirrors:
            if path == there or path.startswith(there + "/"):
                return _kind_here(local / path[len(there) :].lstrip("/"))
        return _kind_here(path) if is_local else told.get(kinds.get(path, "-"))

    return kind_of


def _kind_here(path: str | Path) -> PathKind | None:
    if os.path.isdir(path):
        return PathKind.DIRECTORY
    return PathKind.FILE if os.path.exists(path) else None


def plan(request: Request) -> tuple[Job, ...]:
    """Return the jobs, or say what does not fit; nothing is touched.

    Returns:
        One job per host; of a pool, one per trial, on a host that might become its own.

    Raises:
        PlanError: An input is missing, a host's platform does not fit the cube, results could
            not be written, or several jobs would write one path.
        CubeError: mlcube.yaml asks for something that cannot be honoured.
    """
    jobs = make_jobs(request)
    # Hosts differ in their settings, trials in their values: what fits one of each fits all.
    spare = request.hosts[len(jobs) :] if request.trials else ()
    checked = (*jobs, *(make_job(request, host, request.trials[0]) for host in spare))
    _require_apart(request, jobs)
    if not request.configure_only:
        _require_inputs(jobs)
    for job in checked:
        # Building the commands finds what does not fit before any host is asked.
        paths = job.unasked_paths()
        job.image_commands(paths, {})
        if not request.configure_only:
            for _, built in job.commands(paths, {}):
                _require_honoured(job, built)
        _require_recipe_inside(job)
        _require_links_inside(job)
    if not request.configure_only:
        _require_writable(jobs, several=len(jobs) > 1)
    return jobs


def make_jobs(request: Request) -> tuple[Job, ...]:
    """Return the jobs of :func:`plan`, nothing checked but the platform."""
    jobs = (
        [
            make_job(request, host, trial)
            for trial, host in zip(request.trials, itertools.cycle(request.hosts))
        ]
        if request.trials
        else [make_job(request, host) for host in request.hosts]
    )
    return tuple(jobs) if request.again is None else _again(jobs, request.again)


def _again(jobs: Sequence[Job], attempts: Mapping[str, int]) -> tuple[Job, ...]:
    """Return those of a run's jobs that are to be run again."""
    if lost := sorted(set(attempts) - {job.name for job in jobs}):
        raise PlanError(
            f"{', '.join(lost)}: not a job of the run any more",
            hint="what the run was begun with has changed since; begin another run",
        )
    chosen = [job for job in jobs if job.name in attempts]
    return tuple(attrs.evolve(job, attempt=attempts[job.name]) for job in chosen)


def make_job(request: Request, host: Host, trial: Trial | None = None, *, attempt: int = 1) -> Job:
    """Return one job, nothing checked but the platform."""
    results = results_of(request)
    several = len(request.hosts) > 1
    if trial is not None:
        own: Path | None = results / trial.name
    else:
        own = results / host.name if several and not host.is_local else None
    chosen = choose_platform(request.platform or host.platform, request.cube, host, request.system)
    return Job(
        request=request,
        host=host,
        platform=chosen.platform,
        user_settings=chosen.settings,
        results=own,
        trial=trial,
        attempt=attempt,
    )


def choose_platform(
    asked: str | None, cube: Cube, host: Host, system: SystemSettings
) -> UserPlatform:
    """Return the platform of a job: as asked, else what the cube has a section for.

    Raises:
        PlanError: There is no such platform, or the cube has no section that would serve it.
        UsageError: What the user's own file says of it is wrong.
    """
    name = asked or next((each for each in PLATFORMS if each in cube.settings), None)
    if name is None:
        raise PlanError(
            f"{cube.where()}: no section docker, podman, singularity or apptainer",
            hint="add one, such as docker: {image: NAME}",
        )
    chosen = named_platform(name, host, system)
    serving = {
        "docker": ("docker", "podman"),
        "podman": ("podman", "docker"),
        "singularity": ("singularity", "apptainer", "docker"),
        "apptainer": ("apptainer", "singularity", "docker"),
    }[chosen.platform]
    if not any(section in cube.settings for section in serving):
        has = ", ".join(cube.settings) or "none"
        raise PlanError(
            f"{cube.where()}: no section for {host.name}'s platform {chosen.platform} "
            f"(it has: {has})",
            hint=f"add a {chosen.platform}: section, or choose a platform with --platform",
        )
    return chosen


def named_platform(name: str, host: Host, system: SystemSettings) -> UserPlatform:
    """Return the platform of this name: one that there is anyway, or one of the user's own.

    Raises:
        PlanError: There is none, or it is none that tasks can run on.
        UsageError: What the user's own file says of it is wrong.
    """
    chosen = system.platform(name) or UserPlatform(name=name, platform=name)
    if chosen.platform in PLATFORMS:
        return chosen
    known = dict.fromkeys((*PLATFORMS, *system.names))
    setting = "platform" if name == host.platform else "--platform"
    meant = nearest(name, [each for each in known if each != name])
    raise PlanError(
        f"{host.name}: {setting}: unknown platform {name!r}"
        + (f" (did you mean {meant!r}?)" if meant else ""),
        hint=f"expected one of: {', '.join(known)}",
    )


def slots(request: Request, host: Host) -> int:
    """Return how many jobs of a sweep a host takes at once: no more than it lists GPUs for.

    Raises:
        PlanError: It lists fewer GPUs than one job asks for.
    """
    asked = make_job(request, host, request.trials[0]).gpus
    if not asked or host.gpus is None:
        return host.slots
    if asked > len(host.gpus):
        raise PlanError(
            f"{host.name}: {asked} GPUs are asked for, and the inventory lists {len(host.gpus)}",
            hint="leave the host out, or ask for fewer: --gpus",
        )
    return min(host.slots, len(host.gpus) // asked)


def results_of(request: Request) -> Path:
    """Return the folder for what a run of several jobs makes."""
    return request.cube.workspace.parent / "results" / request.run_id


def _require_apart(request: Request, jobs: tuple[Job, ...]) -> None:
    """Refuse jobs that would write where others of the run read or write."""
    if not request.trials:
        return
    if request.options.mount == "rw":
        raise PlanError(
            "--mount=rw: the jobs of a sweep share their inputs, which are mounted read-only",
            hint="an input that its task writes to: declare it with opts: rw, and each job has "
            "a copy",
        )
    free = sum(slots(request, host) for host in request.hosts)
    if request.detach and len(jobs) > free:
        raise PlanError(
            f"--detach: {len(jobs)} jobs for {free} slots: somebody must be here to place the "
            "others when hosts are free",
            hint="leave it out, and run it under tmux or nohup; or give hosts more slots: in the "
            "inventory",
        )
    writers: dict[str, str] = {}
    for job in jobs:
        for task, items in job.placed(job.host.remote_root).items():
            for item in items:
                path = item.parameter.value.rstrip("/")
                if not item.is_output or item.where is not Where.HOST:
                    continue
                if writers.setdefault(path, job.name) != job.name:
                    raise PlanError(
                        f"{task}.{item.parameter.name}: jobs {writers[path]} and {job.name} would "
                        f"both write {path}",
                        hint="give a path relative to the workspace: each job then has its own",
                    )


def _require_inputs(jobs: tuple[Job, ...]) -> None:
    for job in jobs:
        placed = job.placed(job.host.remote_root)
        for task, item in missing_inputs(placed):
            if not job.host.is_local and made_by_cube(item, job.cube):
                continue
            where = job.cube.where_given(task, item.parameter)
            raise PlanError(
                f"{where}: {task}.{item.parameter.name}: input {item.local} does not exist",
                hint=f"create it, or give another: {item.parameter.name}=PATH",
            )


def _require_honoured(job: Job, commands: TaskCommands) -> None:
    """Refuse an option that the platform would take and silently not honour."""
    found = unhonoured(job.platform, job.request.options, commands.run[-1])
    if found is not None:
        option, why = found
        raise PlanError(
            f"{job.host.name}: {job.platform} cannot honour {option}: {why}",
            hint="leave it out, or choose another platform with --platform",
        )


def _require_recipe_inside(job: Job) -> None:
    """Refuse to pull silently what would be built here: a recipe or context that is not sent."""
    cube, in_engine = job.request.cube, job.platform in CONTAINER_ENGINES
    settings = merge(cube, job.platform, job.host.settings, job.options, job.user_settings)
    if job.host.is_local or (in_engine and settings.text("build_strategy") == "pull"):
        return
    source = settings.text("build_file")
    if not in_engine and (source.startswith(("/", "~")) or ":" in source):
        return  # it is on the host, or behind an address
    layout = Layout(root=str(cube.root), workspace=str(cube.workspace), home=str(Path.home()))
    path = layout.root
    for key in ("build_context", "build_file") if in_engine else ("build_file",):
        path = os.path.join(path, fill_in(settings.text(key), layout))
        if not holds(layout.root, path) and os.path.exists(path):
            raise PlanError(
                f"{settings.where(key)}: {settings.text(key)!r} is outside the cube's directory, "
                f"and so is not sent to {job.host.name}",
                hint="move it into the cube"
                + (", or push the image and use build_strategy: pull" if in_engine else ""),
            )


def _require_links_inside(job: Job) -> None:
    """Refuse inputs that are links out of the cube: the mirror would not have their data."""
    if job.host.is_local:
        return
    cube = job.cube
    inside = [Path(os.path.realpath(top)) for top in (cube.root, cube.workspace)]
    for task, items in job.placed(job.host.remote_root).items():
        for item in items:
            if item.is_output or item.where is not Where.WORKSPACE or item.local is None:
                continue
            real = Path(os.path.realpath(item.local))
            if real.exists() and not any(real.is_relative_to(top) for top in inside):
                raise PlanError(
                    f"{cube.where_given(task, item.parameter)}: {task}.{item.parameter.name}: "
                    f"{item.local} is a link that leaves the cube (to {real})",
                    hint=f"say where the data is: {item.parameter.name}=local:{real}",
                )


def _require_writable(jobs: tuple[Job, ...], *, several: bool) -> None:
    what = "jobs" if jobs[0].trial else "hosts"
    for job in jobs:
        for items in job.placed(job.host.remote_root).values():
            for item in items:
                if not item.is_output or item.local is None:
                    continue
                if several and item.where is Where.CLIENT:
                    raise PlanError(
                        f"{item.parameter.name}: {len(jobs)} {what} would all write {item.local}",
                        hint=f"give a path relative to the workspace: each {what[:-1]} then has "
                        "its own folder in results/",
                    )
                _require_writable_path(item.local if job.results is None else job.results)


def _require_writable_path(path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(existing, os.W_OK | (os.X_OK if existing.is_dir() else 0)):
        raise PlanError(
            f"outputs cannot be written to {path}: {existing} is not writable",
            hint=f"chmod u+w {existing}, or choose another --workspace",
        )
