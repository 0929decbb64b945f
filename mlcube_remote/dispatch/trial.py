# SPDX-License-Identifier: Apache-2.0
"""Jobs side by side on one host: what each has for itself, and what they share.

The mirror of the cube and its workspace is shared: it is sent once, and takes its place on the disk
once. Each job writes into a room of its own. What it shares it gets through read-only mounts: with
hard links, a task that opened an input for writing would change it for all others, and read-only
files keep out nobody who is root in a container. An input that the cube itself declares as
``opts: rw`` is one that its tasks write to: of that, each job gets a copy.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.commands.model import Copy
from mlcube_remote.cube.host_paths import PathKind
from mlcube_remote.cube.model import Cube, ParameterType
from mlcube_remote.dispatch.aim import MadeFile, aimed
from mlcube_remote.dispatch.paths import HostPaths
from mlcube_remote.dispatch.placement import Placed, Where
from mlcube_remote.dispatch.sweep import Point

PlacedTasks = Mapping[str, tuple[Placed, ...]]
"""Task → its parameters."""


@attrs.frozen(kw_only=True)
class Trial:
    """One job of a sweep or one shard: its point, and what that means for the cube."""

    point: Point
    cube: Cube
    files: tuple[MadeFile, ...] = ()

    @property
    def name(self) -> str:
        """The job's name."""
        return self.point.name


def trials(cube: Cube, points: Sequence[Point], tasks: Sequence[str]) -> tuple[Trial, ...]:
    """Return what each point comes to.

    Raises:
        PlanError: A point names what the tasks do not have.
    """
    every = ((point, aimed(cube, point, tasks)) for point in points)
    return tuple(Trial(point=point, cube=aim.cube, files=aim.files) for point, aim in every)


@attrs.frozen(kw_only=True)
class Apart:
    """What a job's tasks are given so that it keeps out of the others' way."""

    placed: PlacedTasks
    copies: Mapping[str, tuple[Copy, ...]]
    """Task → inputs to copy into the job's room first."""


def apart(placed: PlacedTasks, trial: Trial, paths: HostPaths, *, is_local: bool) -> Apart:
    """Lead outputs into the job's own room, and inputs to what is shared, read-only.

    Args:
        placed: The tasks' parameters, as of a job that has the mirror for itself.
        trial: The job.
        paths: Its paths, with a room.
        is_local: Whether it runs on this machine.
    """
    return _Mover(trial, paths, is_local).all(placed)


def made_paths(paths: HostPaths, trial: Trial) -> tuple[tuple[MadeFile, str], ...]:
    """Return the files that are made for one job, each with its path on the host.

    Directories are numbered: names of tasks and parameters are the cube's, and might lead anywhere.
    """
    return tuple(
        (file, f"{paths.room}/inputs/{number}/{file.name}")
        for number, file in enumerate(trial.files)
    )


@attrs.frozen
class _Mover:
    trial: Trial
    paths: HostPaths
    is_local: bool
    made: dict[Path, ParameterType] = attrs.field(factory=dict)
    """What earlier tasks of the job make: path on this machine, and type."""
    copies: dict[str, list[Copy]] = attrs.field(factory=dict)

    def all(self, placed: PlacedTasks) -> Apart:
        moved = {}
        for task, items in placed.items():
            writes_in_place = any(i.is_output and i.where is Where.HOST for i in items)
            moved[task] = tuple(self.one(task, item, writes_in_place) for item in items)
            self.made.update(
                (item.local, item.parameter.type)
                for item in items
                if item.is_output and item.local is not None
            )
        copies = {task: tuple(each) for task, each in self.copies.items()}
        return Apart(placed=moved, copies=copies)

    def one(self, task: str, item: Placed, writes_in_place: bool) -> Placed:
        for file, path in made_paths(self.paths, self.trial):
            if (file.task, file.parameter) == (task, item.parameter.name):
                return self.as_made(item, path)
        if item.is_output:
            return self.in_room(item) if item.where is Where.WORKSPACE else item
        if item.where is Where.HOST:
            # In place on the host, where a task may be told to write beside it.
            return item if writes_in_place else _with(item, opts=item.parameter.opts or "ro")
        above = [p for p in self.made if item.local is not None and item.local.is_relative_to(p)]
        if above:
            return self.in_room(item)
        if item.parameter.opts == "rw":
            return self.copied(task, item)
        if item.where is Where.WORKSPACE:
            return _with(item, value=self.shared(item), opts="ro", given=True)
        return _with(item, opts="ro")

    def as_made(self, item: Placed, path: str) -> Placed:
        changed = _with(item, value=path, opts="ro", given=True, type=ParameterType.FILE)
        return attrs.evolve(changed, where=Where.HOST, local=None)

    def in_room(self, item: Placed) -> Placed:
        """Return the parameter with its data in the job's own workspace."""
        assert item.local is not None  # noqa: S101 - what is mirrored is on this machine
        cube = self.trial.cube
        if item.local.is_relative_to(cube.workspace):
            top, there = cube.workspace, self.paths.own_workspace
        else:
            top, there = cube.root, self.paths.own_cube
        inside = item.local.relative_to(top)
        known = self.made.get(item.local, ParameterType.UNKNOWN)
        kind = known if item.parameter.type is ParameterType.UNKNOWN else item.parameter.type
        value = _joined(there, inside.as_posix()) + _slash(item)
        moved = _with(item, value=value, given=True, type=kind)
        return attrs.evolve(moved, local=Path(there) / inside) if self.is_local else moved

    def shared(self, item: Placed) -> str:
        """Return where a mirrored input is on the host."""
        assert item.local is not None  # noqa: S101 - what is mirrored is on this machine
        return self.paths.mirror(item.local, self.trial.cube) + _slash(item)

    def copied(self, task: str, item: Placed) -> Placed:
        """Return the parameter with its data in a copy of the job's own."""
        source = self.shared(item) if item.where is Where.WORKSPACE else item.parameter.value
        source = source.rstrip("/")
        name = posixpath.basename(source)
        number = sum(map(len, self.copies.values()))
        target = f"{self.paths.room}/copies/{number}/{name}"
        is_directory = item.is_directory or (item.local is not None and item.local.is_dir())
        kind = PathKind.DIRECTORY if is_directory else PathKind.FILE
        self.copies.setdefault(task, []).append(Copy(source=source, target=target, kind=kind))
        return _with(item, value=target + _slash(item), given=True, type=ParameterType(kind.value))


def _with(item: Placed, **changes: Any) -> Placed:
    return attrs.evolve(item, parameter=attrs.evolve(item.parameter, **changes))


def _joined(folder: str, inside: str) -> str:
    return posixpath.normpath(posixpath.join(folder, inside))


def _slash(item: Placed) -> str:
    return "/" if item.parameter.value.endswith("/") else ""
