# SPDX-License-Identifier: Apache-2.0
"""Where the data of each parameter is: in the workspace, in place on the host, or on this machine.

The table under "Paths and data" in the design, as a pure function.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import Layout, expand_runtime, host_path
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.dispatch.paths import data_room
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host


class Where(Enum):
    """Which machine owns a parameter's data."""

    WORKSPACE = "workspace"
    """Mirrored with the cube (or its workspace), both ways."""
    HOST = "host"
    """On the machine where the task runs; used in place, never copied."""
    CLIENT = "client"
    """``local:``: sent up before the run, or pulled after it."""


@attrs.frozen(kw_only=True)
class Placed:
    """A parameter, and where its data is."""

    parameter: Parameter
    """With the value that the command builder gets: ``local:`` and ``remote:`` are resolved."""
    where: Where
    local: Path | None
    """The data's path on this machine; ``None`` where it lives on the host."""

    @property
    def is_output(self) -> bool:
        """Whether the task makes it."""
        return self.parameter.io is IO.OUTPUT

    @property
    def is_directory(self) -> bool:
        """Whether the parameter is known to be a directory."""
        return self.parameter.type is ParameterType.DIRECTORY

    @property
    def is_of_unknown_type(self) -> bool:
        """Whether it is an input that is whatever there is at its path."""
        return not self.is_output and self.parameter.type is ParameterType.UNKNOWN


def place(task: Task, cube: Cube, host: Host, *, root: str) -> tuple[Placed, ...]:
    """Say where each parameter of ``task`` has its data when the task runs on ``host``.

    Args:
        task: The task, command-line values applied.
        cube: Its cube.
        host: Where it is to run.
        root: ``remote_root`` there.

    Raises:
        PlanError: A relative path leaves the cube, or a prefix is used wrongly.
    """
    return tuple(_place(parameter, task, cube, host, root) for parameter in task.parameters)


def _place(parameter: Parameter, task: Task, cube: Cube, host: Host, root: str) -> Placed:
    value = parameter.value
    if value.startswith("remote:"):
        path = value.removeprefix("remote:")
        if not path.startswith(("/", "~/")):
            raise PlanError(
                f"{_named(cube, task, parameter)}: expected an absolute path after remote:, "
                f"got {value!r}",
                hint="write remote:/path/on/the/host",
            )
        return _with_value(parameter, path, Where.HOST, None)
    if value.startswith("local:"):
        return _place_client(parameter, task, cube, host, root)
    here = mirrored_path(value, cube)
    if here is None or not here.exists():
        parameter = _as_made(parameter, cube)
    if here is None:
        local = Path(host_path(value, _here(cube))) if host.is_local else None
        return _with_value(parameter, value, Where.HOST, local)
    if not any(here.is_relative_to(mirrored) for mirrored in (cube.root, cube.workspace)):
        raise PlanError(
            f"{_named(cube, task, parameter)}: {value!r} leaves the cube's directory",
            hint=f"if the data is on this machine, write local:{here}; "
            "if it is on the host, write its absolute path",
        )
    return _with_value(parameter, value, Where.WORKSPACE, here)


def _as_made(parameter: Parameter, cube: Cube) -> Parameter:
    """Return an input that declares no type with that of the output which it is."""
    if parameter.io is IO.OUTPUT or parameter.type is not ParameterType.UNKNOWN:
        return parameter
    made = (
        output.type
        for task in cube.tasks.values()
        for output in task.parameters
        if output.io is IO.OUTPUT and _place_of(output, cube) == _place_of(parameter, cube)
    )
    return attrs.evolve(parameter, type=next(made, ParameterType.UNKNOWN))


def _place_of(parameter: Parameter, cube: Cube) -> Path:
    return mirrored_path(parameter.value, cube) or Path(parameter.value)


def _here(cube: Cube) -> Layout:
    return Layout(root=str(cube.root), workspace=str(cube.workspace), home=str(Path.home()))


def mirrored_path(value: str, cube: Cube) -> Path | None:
    """Return the path on this machine that a value of mlcube.yaml means.

    Returns:
        ``None`` when it means a path of the host: absolute, below ``~`` or ``$HOME``, or with a
        prefix of its own.
    """
    filled = expand_runtime(value, _here(cube))
    if filled == value and value.startswith(("/", "~", "$HOME", "${HOME}", "local:", "remote:")):
        return None
    return Path(os.path.normpath(cube.workspace / filled))


def _place_client(parameter: Parameter, task: Task, cube: Cube, host: Host, root: str) -> Placed:
    written = parameter.value.removeprefix("local:")
    if not written.strip("/."):
        raise PlanError(
            f"{_named(cube, task, parameter)}: expected a file or directory after local:, "
            f"got {parameter.value!r}"
        )
    local = Path(os.path.abspath(Path(written).expanduser()))
    slash = "/" if written.endswith("/") or local.is_dir() else ""
    at = str(local) if host.is_local else posixpath.join(root, data_room(local))
    if parameter.io is IO.INPUT and parameter.type is ParameterType.UNKNOWN:
        kind = ParameterType.DIRECTORY if slash else ParameterType.FILE
        parameter = attrs.evolve(parameter, type=kind)
    return _with_value(parameter, at + slash, Where.CLIENT, local)


def _with_value(parameter: Parameter, value: str, where: Where, local: Path | None) -> Placed:
    return Placed(parameter=attrs.evolve(parameter, value=value), where=where, local=local)


def _named(cube: Cube, task: Task, parameter: Parameter) -> str:
    return f"{cube.where_given(task.name, parameter)}: {task.name}.{parameter.name}"


def replaced(task: Task, placed: tuple[Placed, ...]) -> Task:
    """Return ``task`` with its parameters' values as placed."""
    return attrs.evolve(task, parameters=tuple(item.parameter for item in placed))


def missing_inputs(
    placed: Mapping[str, tuple[Placed, ...]],
) -> tuple[tuple[str, Placed], ...]:
    """Return (task, input) for each input file that is nowhere to be found on this machine.

    An input that an earlier task of the same run makes is not missing. One that is an output of
    another task of the cube may be on the host from an earlier run: only the host can say.
    """
    missing: list[tuple[str, Placed]] = []
    made: list[Path] = []
    for task, items in placed.items():
        for item in items:
            if item.is_output or item.local is None or os.path.lexists(item.local):
                continue
            if item.where is Where.WORKSPACE and item.is_directory:
                continue
            if not any(item.local.is_relative_to(path) for path in made):
                missing.append((task, item))
        made += [item.local for item in items if item.is_output and item.local is not None]
    return tuple(missing)


def made_by_cube(item: Placed, cube: Cube) -> bool:
    """Return whether some task of the cube declares the input's path as an output."""
    outputs = (
        mirrored_path(parameter.value, cube)
        for task in cube.tasks.values()
        for parameter in task.parameters
        if parameter.io is IO.OUTPUT
    )
    return item.local is not None and any(
        path is not None and item.local.is_relative_to(path) for path in outputs
    )
