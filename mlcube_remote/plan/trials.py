# SPDX-License-Identifier: Apache-2.0
"""Isolate jobs that run side by side on one host.

They share the mirror of the cube and its workspace, which is uploaded and stored once. Each job
writes into a directory of its own, and mounts shared inputs read-only: with hard links, a task that
opened an input for writing would change it for all jobs, and file permissions do not stop root in a
container. If the cube declares an input with ``opts: rw``, its tasks write to it, so each job gets
a copy.
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
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.plan.made_inputs import PlacedTasks
from mlcube_remote.plan.placement import DataLocation, PlacedParameter
from mlcube_remote.plan.sweep_points import SweepPoint
from mlcube_remote.plan.sweep_targets import Contents, GeneratedFile, resolve_point


@attrs.frozen(kw_only=True)
class Trial:
    """One job of a sweep, or one shard: its point, resolved for the cube."""

    point: SweepPoint
    cube: Cube
    files: tuple[GeneratedFile, ...] = ()

    @property
    def name(self) -> str:
        """The job's name."""
        return self.point.name


def make_trials(
    cube: Cube, points: Sequence[SweepPoint], tasks: Sequence[str]
) -> tuple[Trial, ...]:
    """Resolve each point.

    Raises:
        PlanError: A point has a name that the tasks do not know.
    """
    read: Contents = {}
    every = ((point, resolve_point(cube, point, tasks, read)) for point in points)
    return tuple(Trial(point=point, cube=aim.cube, files=aim.files) for point, aim in every)


@attrs.frozen(kw_only=True)
class TrialLayout:
    """The parameters of a job's tasks, isolated from other jobs."""

    placed: PlacedTasks
    copies: Mapping[str, tuple[Copy, ...]]
    """Task → inputs to copy into the job's own directory."""


def isolate(placed: PlacedTasks, trial: Trial, paths: HostPaths, *, is_local: bool) -> TrialLayout:
    """Move outputs into the job's own directory, and make shared inputs read-only.

    Args:
        placed: The parameters of the tasks, as if the mirror were not shared.
        trial: The job.
        paths: Its paths, with a directory of its own.
        is_local: Whether the job runs on this machine.
    """
    generated = {
        (file.task, file.parameter): path for file, path in generated_file_paths(paths, trial)
    }
    return _PathIsolator(trial, paths, is_local, generated).isolate_all(placed)


def generated_file_paths(paths: HostPaths, trial: Trial) -> tuple[tuple[GeneratedFile, str], ...]:
    """Return the files that are generated for a job, each with its path on the host.

    Directories are numbered, because the cube chooses the names of tasks and parameters, and they
    might contain ``..``.
    """
    return tuple(
        (file, f"{paths.own_dir}/inputs/{number}/{file.name}")
        for number, file in enumerate(trial.files)
    )


@attrs.frozen
class _PathIsolator:
    trial: Trial
    paths: HostPaths
    is_local: bool
    generated: Mapping[tuple[str, str], str]
    """(Task, parameter) → path of the file that is generated for it."""
    copies: dict[str, list[Copy]] = attrs.field(factory=dict)

    def isolate_all(self, placed: PlacedTasks) -> TrialLayout:
        moved = {}
        for task, items in placed.items():
            writes_in_place = any(i.is_output and i.where is DataLocation.HOST for i in items)
            moved[task] = tuple(self.isolate(task, item, writes_in_place) for item in items)
        copies = {task: tuple(each) for task, each in self.copies.items()}
        return TrialLayout(placed=moved, copies=copies)

    def isolate(self, task: str, item: PlacedParameter, writes_in_place: bool) -> PlacedParameter:
        generated = self.generated.get((task, item.parameter.name))
        if generated is not None:
            return self.generated_file(item, generated)
        if item.is_output:
            return self.in_own_directory(item) if item.where is DataLocation.WORKSPACE else item
        if item.where is DataLocation.HOST:
            # It is in place on the host, and an output of the task may be in the same directory.
            return item if writes_in_place else _with(item, opts=item.parameter.opts or "ro")
        if item.made_by and item.where is DataLocation.WORKSPACE:
            return self.made_input(task, item)
        if item.parameter.opts == "rw":
            return self.copy(task, item)
        if item.where is DataLocation.WORKSPACE:
            return _with(item, value=self.shared_path(item), opts="ro", given=True)
        return _with(item, opts="ro")

    def generated_file(self, item: PlacedParameter, path: str) -> PlacedParameter:
        changed = _with(
            item,
            value=path,
            opts="ro",
            given=True,
            type=ParameterType.FILE,
            decided_at_start=False,
        )
        return attrs.evolve(changed, where=DataLocation.HOST, local=None, made_by="")

    def made_input(self, task: str, item: PlacedParameter) -> PlacedParameter:
        """Move an input that an earlier task of the job makes into the job's own workspace.

        What exists of it is copied: the task may make only a part, and leave the rest as it is.
        The user may have excluded what the task makes from the upload.
        """
        moved = self.in_own_directory(item)
        if not item.is_made_whole and item.local is not None and item.local.exists():
            kind = PathKind.DIRECTORY if item.local.is_dir() else PathKind.FILE
            self.add_copy(
                task,
                self.shared_path(item),
                moved.parameter.value,
                kind,
                may_be_missing=item.is_inside_output,
            )
        return moved

    def in_own_directory(self, item: PlacedParameter) -> PlacedParameter:
        """Move the data into the job's own workspace."""
        assert item.local is not None  # noqa: S101 - mirrored data is on this machine
        cube = self.trial.cube
        if item.local.is_relative_to(cube.workspace):
            top, there = cube.workspace, self.paths.own_workspace
        else:
            top, there = cube.root, self.paths.own_cube
        inside = item.local.relative_to(top)
        value = _joined(there, inside.as_posix()) + _slash(item)
        moved = _with(item, value=value, given=True)
        return attrs.evolve(moved, local=Path(there) / inside) if self.is_local else moved

    def shared_path(self, item: PlacedParameter) -> str:
        """Return the path of a shared input on the host."""
        assert item.local is not None  # noqa: S101 - mirrored data is on this machine
        return self.paths.mirror(item.local, self.trial.cube) + _slash(item)

    def copy(self, task: str, item: PlacedParameter) -> PlacedParameter:
        """Move the data to a copy of the job's own."""
        source = (
            self.shared_path(item) if item.where is DataLocation.WORKSPACE else item.parameter.value
        )
        source = source.rstrip("/")
        name = posixpath.basename(source)
        number = sum(map(len, self.copies.values()))
        target = f"{self.paths.own_dir}/copies/{number}/{name}"
        is_directory = item.is_directory or (item.local is not None and item.local.is_dir())
        kind = PathKind.DIRECTORY if is_directory else PathKind.FILE
        self.add_copy(task, source, target, kind)
        return _with(item, value=target + _slash(item), given=True, type=ParameterType(kind.value))

    def add_copy(
        self, task: str, source: str, target: str, kind: PathKind, *, may_be_missing: bool = False
    ) -> None:
        """Have a file or directory copied before the launch."""
        copy = Copy(
            source=source.rstrip("/"),
            target=target.rstrip("/"),
            kind=kind,
            may_be_missing=may_be_missing,
        )
        self.copies.setdefault(task, []).append(copy)


def _with(item: PlacedParameter, **changes: Any) -> PlacedParameter:
    return attrs.evolve(item, parameter=attrs.evolve(item.parameter, **changes))


def _joined(folder: str, inside: str) -> str:
    return posixpath.normpath(posixpath.join(folder, inside))


def _slash(item: PlacedParameter) -> str:
    return "/" if item.parameter.value.endswith("/") else ""
