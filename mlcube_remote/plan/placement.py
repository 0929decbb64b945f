# SPDX-License-Identifier: Apache-2.0
"""Where the data of each parameter is: in the workspace, on the host, or on this machine."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import expand_runtime, host_path, layout_here
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.host_paths import data_directory

_NOTHING_WORDS = frozenset({"null", "none"})
"""Values with which published cubes say that an optional file is not given."""


class DataLocation(Enum):
    """Where a parameter's data is."""

    WORKSPACE = "workspace"
    """In the cube or its workspace: uploaded as an input, downloaded as an output."""
    HOST = "host"
    """On the host: used in place, never copied."""
    CLIENT = "client"
    """On this machine (``local:``): uploaded before the run, or downloaded after it."""


@attrs.frozen(kw_only=True)
class PlacedParameter:
    """A parameter, and where its data is."""

    parameter: Parameter
    """Its value is that for the command builder: ``local:`` and ``remote:`` are resolved."""
    where: DataLocation
    local: Path | None
    """Path of the data on this machine; ``None`` if it is on the host."""
    made_by: str = ""
    """The earlier task of the same job that makes the input; empty: none."""
    is_inside_output: bool = False
    """Whether the input is an output of that task, or inside one: the task can make all of it."""
    is_made_whole: bool = False
    """Whether the input is a file that this task declares: nothing else can be in its place."""

    @property
    def is_output(self) -> bool:
        """Whether it is an output of the task."""
        return self.parameter.io is IO.OUTPUT

    @property
    def is_directory(self) -> bool:
        """Whether the parameter is known to be a directory."""
        return self.parameter.type is ParameterType.DIRECTORY

    @property
    def is_of_unknown_type(self) -> bool:
        """Whether it is an input without a declared type: what exists at its path decides."""
        return not self.is_output and self.parameter.type is ParameterType.UNKNOWN

    def may_be_missing(self, allowed: Collection[str]) -> bool:
        """Return whether a task starts without this input: a file that is named ``null``, say.

        Args:
            allowed: Names of inputs without which a task may start.
        """
        is_nothing = self.parameter.value.casefold() in _NOTHING_WORDS
        is_file = self.parameter.type is ParameterType.FILE
        return self.parameter.name in allowed or (is_nothing and is_file)


def place_parameters(
    task: Task, cube: Cube, host: Host, *, root: str, home: str = "~"
) -> tuple[PlacedParameter, ...]:
    """Return the parameters of ``task`` with the location of their data if it runs on ``host``.

    Args:
        task: The task, with the values of the command line.
        cube: Its cube.
        host: The host on which it will run.
        root: ``remote_root`` of the host.
        home: The user's home directory; needed only if the host is this machine.

    Raises:
        PlanError: A relative path leaves the cube, or a prefix is used wrongly.
    """
    return tuple(_place(parameter, task, cube, host, root, home) for parameter in task.parameters)


def _place(
    parameter: Parameter, task: Task, cube: Cube, host: Host, root: str, home: str
) -> PlacedParameter:
    value = parameter.value
    if value.startswith("remote:"):
        remote = value.removeprefix("remote:")
        if not remote.startswith(("/", "~/")):
            raise PlanError(
                f"{_named(cube, task, parameter)}: expected an absolute path after remote:, "
                f"got {value!r}",
                hint="write remote:/path/on/the/host",
            )
        return _with_value(parameter, remote, DataLocation.HOST, None)
    if value.startswith("local:"):
        return _place_client(parameter, task, cube, host, root)
    path = mirrored_path(value, cube)
    if path is None or not path.exists():
        parameter = _with_output_type(parameter, cube)
    if path is None:
        local = Path(host_path(value, layout_here(cube, home))) if host.is_local else None
        return _with_value(parameter, value, DataLocation.HOST, local)
    if not any(path.is_relative_to(mirrored) for mirrored in (cube.root, cube.workspace)):
        raise PlanError(
            f"{_named(cube, task, parameter)}: {value!r} leaves the cube's directory",
            hint=f"if the data is on this machine, write local:{path}; "
            "if it is on the host, write its absolute path",
        )
    return _with_value(parameter, value, DataLocation.WORKSPACE, path)


def _with_output_type(parameter: Parameter, cube: Cube) -> Parameter:
    """Give an input without a type the type of the output with the same path."""
    if parameter.io is IO.OUTPUT or parameter.type is not ParameterType.UNKNOWN:
        return parameter
    made = (
        output.type
        for task in cube.tasks.values()
        for output in task.parameters
        if output.io is IO.OUTPUT and _path_of(output, cube) == _path_of(parameter, cube)
    )
    return attrs.evolve(parameter, type=next(made, ParameterType.UNKNOWN))


def _path_of(parameter: Parameter, cube: Cube) -> Path:
    return mirrored_path(parameter.value, cube) or Path(parameter.value)


def mirrored_path(value: str, cube: Cube) -> Path | None:
    """Return the path on this machine that a value of mlcube.yaml means.

    Returns:
        ``None`` if it means a path of the host: absolute, below ``~`` or ``$HOME``, or with a
        prefix.
    """
    filled = expand_runtime(value, layout_here(cube))
    if filled == value and value.startswith(("/", "~", "$HOME", "${HOME}", "local:", "remote:")):
        return None
    return Path(os.path.normpath(os.path.join(cube.workspace, filled)))


def _place_client(
    parameter: Parameter, task: Task, cube: Cube, host: Host, root: str
) -> PlacedParameter:
    written = parameter.value.removeprefix("local:")
    if not written.strip("/."):
        raise PlanError(
            f"{_named(cube, task, parameter)}: expected a file or directory after local:, "
            f"got {parameter.value!r}"
        )
    local = Path(os.path.abspath(Path(written).expanduser()))
    slash = "/" if written.endswith("/") or local.is_dir() else ""
    at = str(local) if host.is_local else posixpath.join(root, data_directory(local))
    if parameter.io is IO.INPUT and parameter.type is ParameterType.UNKNOWN:
        kind = ParameterType.DIRECTORY if slash else ParameterType.FILE
        parameter = attrs.evolve(parameter, type=kind)
    return _with_value(parameter, at + slash, DataLocation.CLIENT, local)


def _with_value(
    parameter: Parameter, value: str, where: DataLocation, local: Path | None
) -> PlacedParameter:
    return PlacedParameter(parameter=attrs.evolve(parameter, value=value), where=where, local=local)


def _named(cube: Cube, task: Task, parameter: Parameter) -> str:
    return f"{cube.where_given(task.name, parameter)}: {task.name}.{parameter.name}"


def with_placed_values(task: Task, placed: tuple[PlacedParameter, ...]) -> Task:
    """Return ``task`` with the values of the placed parameters."""
    return attrs.evolve(task, parameters=tuple(item.parameter for item in placed))


def missing_inputs(
    placed: Mapping[str, tuple[PlacedParameter, ...]],
) -> tuple[tuple[str, PlacedParameter], ...]:
    """Return (task, input) for each input that does not exist on this machine.

    An input that an earlier task of the same job makes is not missing. An output of another task
    of the cube may exist on the host from an earlier run: only the host knows.
    """
    return tuple(
        (task, item)
        for task, items in placed.items()
        for item in items
        if not item.is_output
        and not item.made_by
        and item.local is not None
        and not os.path.lexists(item.local)
        # A directory is created, except one that would have to be sent.
        and not (item.is_directory and item.where is not DataLocation.CLIENT)
    )


def is_made_by_cube(item: PlacedParameter, cube: Cube) -> bool:
    """Return whether a task of the cube declares the path of the input as an output."""
    return bool(find_makers(item, cube))


def find_makers(item: PlacedParameter, cube: Cube) -> tuple[str, ...]:
    """Return the tasks that declare the path of the input, or a directory above, as an output."""
    local = item.local
    if local is None:
        return ()
    makers = (
        task.name
        for task in cube.tasks.values()
        for parameter in task.parameters
        if parameter.io is IO.OUTPUT
        and (path := mirrored_path(parameter.value, cube)) is not None
        and local.is_relative_to(path)
    )
    return tuple(dict.fromkeys(makers))


def find_missing_makers(
    task: str, item: PlacedParameter, cube: Cube, allowed: Collection[str]
) -> tuple[str, ...]:
    """Return the tasks that make an input of the workspace which this machine does not have.

    A task may declare one directory as input and output: it starts with an empty one.

    Args:
        task: The task that reads it.
        item: The parameter.
        cube: The cube.
        allowed: Names of inputs without which a task may start.

    Returns:
        None if the input is here, if an earlier task of the job makes it, or if it may be missing.
    """
    if (
        item.is_output
        or item.made_by
        or item.where is not DataLocation.WORKSPACE
        or item.local is None
        or item.local.exists()
        or item.may_be_missing(allowed)
    ):
        return ()
    makers = find_makers(item, cube)
    return tuple(each for each in makers if each != task or not item.is_directory)
