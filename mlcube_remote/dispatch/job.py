# SPDX-License-Identifier: Apache-2.0
"""What was asked, and what each host is to do about it; the commands are built from here."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.commands.build import build, build_image
from mlcube_remote.commands.launch_options import launch_options
from mlcube_remote.commands.model import Argv, ImageCommands, Options, Target, TaskCommands
from mlcube_remote.cube.host_paths import KindOf, PathKind, contains, host_path
from mlcube_remote.cube.model import NOTHING, Cube
from mlcube_remote.cube.system_settings import NO_SYSTEM_SETTINGS, SystemSettings
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
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.ids import container_name, job_id
from mlcube_remote.secret import Secret

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

        As directories they are mounted by themselves, but for names that not every engine could
        mount. When the host has told, the commands are built once more; it is then that those are
        refused which are not there.
        """
        if self.host.is_local:
            return {}
        return {
            (path := host_path(item.parameter.value, paths.layout)): _likely_kind(path)
            for item in (*self._in_place(paths), *self._left_there(paths))
            if item.is_of_unknown_type
        }

    def _in_place(self, paths: HostPaths) -> list[Placed]:
        """Return the parameters whose data is the host's own."""
        every = (item for items in self.placed(paths.root).values() for item in items)
        return [item for item in every if item.where is Where.HOST]

    def _left_there(self, paths: HostPaths) -> list[Placed]:
        """Return the inputs that an earlier run may have left in the mirror, and that are not here.

        A task of the cube makes them, and none of this job.
        """
        placed = self.placed(paths.root)
        return [
            item
            for task, item in missing_inputs(placed)
            if item.where is Where.WORKSPACE and made_by_cube(item, self.cube)
        ]

    def own_recipe(self, paths: HostPaths) -> str:
        """Return the image's recipe where only the host can tell whether it is there.

        What is not in the cube is not sent. An absolute path means the host's own, as it does for
        the data of a task.
        """
        source = self.image_commands(paths, {}).source
        is_path = source.startswith(("/", "~/"))
        is_here = self.host.is_local or contains(paths.cube, source)
        return "" if is_here or not is_path else source

    def asked(self) -> list[str]:
        """Return the paths of which the host is asked what there is."""
        paths = self.unasked_paths()
        left = [item for item in self._left_there(paths) if item.is_of_unknown_type]
        data = [
            host_path(item.parameter.value, paths.layout)
            for item in (*self._in_place(paths), *left)
        ]
        return [path for path in (*data, self.own_recipe(paths)) if path]

    def sent(self, root: str) -> list[Placed]:
        """Return the parameters whose data the host must have, in the order of their tasks.

        Where jobs share the mirror that is the data of all of them: it is sent once. An image
        alone needs no data of this machine, which may not be there yet.
        """
        cubes = [trial.cube for trial in self.request.trials] or [self.request.cube]
        return [
            item
            for cube in cubes
            for name in self.request.tasks
            for item in place(cube.tasks[name], cube, self.host, root=root)
            if not (self.request.configure_only and item.where is Where.CLIENT)
        ]

    def commands(
        self, paths: HostPaths, kinds: Mapping[str, str], programs: Collection[str] = ()
    ) -> tuple[tuple[str, TaskCommands], ...]:
        """Return (task, commands) in order.

        Args:
            paths: The job's paths.
            kinds: Absolute path on the host → ``f``, ``d`` or ``-`` where that is known; what is
                in the cube here is looked up here, since it is mirrored; see also :meth:`presumed`.
            programs: Which of ``singularity`` and ``apptainer`` the host has, where that is known.
        """
        cube, its = self.cube, self._apart(paths.root)
        known = {path: kind for path, kind in kinds.items() if kind != "-"}
        kinds = {**self.presumed(paths), **known}
        kind_of = _kind_of(cube, paths, kinds, is_local=self.host.is_local)

        def built(name: str, placed: tuple[Placed, ...]) -> TaskCommands:
            target = Target(
                platform=self.platform,
                host_settings=self.host.settings,
                user_settings=self.user_settings,
                layout=paths.layout,
                options=self.options,
                kind_of=kind_of,
                programs=programs,
                is_trusted=self.request.trust_cube,
            )
            commands = build(cube, replaced(cube.tasks[name], placed), target)
            copies = (*commands.copies, *its.copies.get(name, ()))
            return attrs.evolve(commands, copies=copies)

        return tuple((name, built(name, placed)) for name, placed in its.placed.items())

    def image_commands(
        self, paths: HostPaths, kinds: Mapping[str, str], programs: Collection[str] = ()
    ) -> ImageCommands:
        """Return the commands that bring the image to the host; see :meth:`commands`."""
        target = Target(
            platform=self.platform,
            host_settings=self.host.settings,
            user_settings=self.user_settings,
            layout=paths.layout,
            kind_of=_kind_of(self.cube, paths, kinds, is_local=self.host.is_local),
            options=self.request.options,
            programs=programs,
            is_trusted=self.request.trust_cube,
        )
        return build_image(self.cube, target)

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


def _likely_kind(path: str) -> str:
    name = posixpath.basename(path)
    return "f" if ":" in name and ("," in name or '"' in name) else "d"


def _kind_of(cube: Cube, paths: HostPaths, kinds: Mapping[str, str], *, is_local: bool) -> KindOf:
    mirrors = ((paths.workspace, cube.workspace), (paths.cube, cube.root))
    told = {"f": PathKind.FILE, "d": PathKind.DIRECTORY}

    def kind_of(path: str) -> PathKind | None:
        for there, local in mirrors:
            if path == there or path.startswith(there + "/"):
                here = _kind_here(local / path[len(there) :].lstrip("/"))
                # What an earlier run made may be there alone.
                return here or told.get(kinds.get(path, "-"))
        return _kind_here(path) if is_local else told.get(kinds.get(path, "-"))

    return kind_of


def _kind_here(path: str | Path) -> PathKind | None:
    if os.path.isdir(path):
        return PathKind.DIRECTORY
    return PathKind.FILE if os.path.exists(path) else None
