# SPDX-License-Identifier: Apache-2.0
"""Read a cube: the file, ``-P`` overrides and task arguments make a :class:`Cube`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.budgets import MAX_CUBE_BYTES
from mlcube_remote.cube.keys import describe_old_format, find_references
from mlcube_remote.cube.model import Cube, Parameter, ParameterType, Task
from mlcube_remote.cube.read import SEPARATORS, Reader, relative_to_workspace
from mlcube_remote.cube.resolve import resolve
from mlcube_remote.errors import CubeError
from mlcube_remote.platforms import SETTINGS
from mlcube_remote.suggestions import ALMOST_EQUAL, did_you_mean
from mlcube_remote.yamlsource import YamlDocument

FILE_NAME = "mlcube.yaml"

_ADDRESS = re.compile(r"(?!local:|remote:)[A-Za-z][A-Za-z0-9+.-]*://|storage:")
"""What an address starts with: as a path it would be a directory such as ``s3:``."""


def load(
    path: str | os.PathLike[str] = ".",
    *,
    overrides: Sequence[str] = (),
    task_args: Mapping[str, str] | None = None,
    tasks: Sequence[str] = (),
    workspace: str | os.PathLike[str] | None = None,
    allows_variable: Callable[[str], bool] = lambda _: False,
) -> Cube:
    """Read a cube.

    Args:
        path: The cube's directory, or its YAML file under any name.
        overrides: The text after each ``-P``: ``docker.image=NAME``.
        task_args: Parameter → value; they replace the values of mlcube.yaml.
        tasks: The tasks that will run. Each task argument must be a parameter of at least one of
            them, or of any task of the cube if there are none.
        workspace: The workspace on this machine; ``None``: ``workspace/`` in the cube.
        allows_variable: Returns whether the file may read an environment variable of this
            machine; :attr:`Cube.variables` lists those that it may not read.

    Raises:
        CubeError: The file is missing or wrong, or a task argument is unknown.
    """
    file = _file(path)
    document = yamlsource.load(file, error=CubeError, max_bytes=MAX_CUBE_BYTES)
    locate = partial(_locate, document, tuple(overrides))
    reader = Reader(locate, find_references(document.data) | find_references([*overrides]))
    if not isinstance(document.data, Mapping):
        reader.fail((), "expected a mapping with name, tasks and a platform section")
    if old := describe_old_format(document.data):
        reader.fail(*old)
    resolved = resolve(document.data, overrides, locate, allows_variable)
    data, given = resolved.data, resolved.given
    _reject_unknown_overrides(given, document.data)
    reader.check_keys(data)
    parsed = _tasks(reader, data, task_args or {}, tasks)
    return Cube(
        name=reader.text(("name",), data.get("name"), default=file.parent.name),
        root=file.parent,
        file=file,
        workspace=_workspace(workspace, file.parent),
        tasks=parsed,
        description=reader.text(("description",), data.get("description")),
        accelerator_count=(data.get("platform") or {}).get("accelerator_count"),
        settings=reader.settings(data),
        overrides={
            section: values for section, values in given.items() if isinstance(values, Mapping)
        },
        variables=resolved.variables,
        locate=locate,
        warnings=tuple(reader.warnings),
    )


def _locate(document: YamlDocument, overrides: tuple[str, ...], keys: tuple[str, ...]) -> str:
    """Return the position of a key in the file, or its ``-P`` option."""
    dotted = ".".join(keys)
    if keys and any(override.startswith(f"{dotted}=") for override in overrides):
        return f"-P {dotted}"
    if keys and keys[0] not in document.data:
        inside = [each for each in overrides if each.startswith(f"{dotted}.")]
        if inside:
            return f"-P {inside[0].partition('=')[0]}"
    return document.where(keys)


def _tasks(
    reader: Reader, data: Mapping[str, Any], args: Mapping[str, str], names: Sequence[str]
) -> dict[str, Task]:
    """Return all tasks of the cube with the values of task arguments."""
    for name, value in args.items():
        if "\0" in value:
            raise CubeError(f"{name}: the value contains a NUL character")
    tasks = reader.tasks(data, args)
    if args:
        chosen = [_known_task(tasks, name) for name in names] or list(tasks.values())
        _check_args(args, chosen)
    return tasks


def select_tasks(cube: Cube, names: Sequence[str] = ()) -> tuple[Task, ...]:
    """Return the tasks to run, in the given order.

    Args:
        cube: The cube.
        names: Task names; if there are none, the cube must have one task.

    Raises:
        CubeError: A name is unknown, or there is no name and the cube has several tasks.
    """
    if names:
        return tuple(_known_task(cube.tasks, name) for name in names)
    if len(cube.tasks) == 1:
        return tuple(cube.tasks.values())
    raise CubeError(
        f"{cube.where('tasks')}: expected --task; the cube has several tasks: "
        f"{', '.join(cube.tasks)}",
        hint=f"add --task={next(iter(cube.tasks))}",
    )


def cube_directory(path: str | os.PathLike[str]) -> Path:
    """Return the directory of a cube, which may be named by its YAML file."""
    given = Path(path).expanduser()
    return Path(os.path.abspath(given if given.is_dir() else given.parent))


def _file(path: str | os.PathLike[str]) -> Path:
    if _ADDRESS.match(str(path)):
        raise CubeError(
            f"--mlcube={path}: expected a path, got an address",
            hint="download the cube first, such as with git clone",
        )
    given = Path(path).expanduser()
    file = given / FILE_NAME if given.is_dir() else given
    if not file.exists():
        is_old = (given / "mlbox.yaml").exists()
        raise CubeError(
            f"{file}: no such file",
            hint="mlbox.yaml is the format of 2020; write an mlcube.yaml instead"
            if is_old
            else "go to the cube's directory, or name it: --mlcube=PATH (trust takes PATH alone); "
            "or write a new cube: mlcube-remote init",
        )
    return Path(os.path.abspath(file))


def _workspace(given: str | os.PathLike[str] | None, root: Path) -> Path:
    if given is None:
        return root / "workspace"
    if _ADDRESS.match(str(given)):
        raise CubeError(
            f"--workspace={given}: expected a path, got an address",
            hint="a workspace is a directory of this machine",
        )
    return Path(os.path.abspath(Path(given).expanduser()))


def with_arguments(cube: Cube, args: Mapping[str, str], tasks: Sequence[str]) -> Cube:
    """Return a cube with more task arguments.

    Args:
        cube: The cube.
        args: Parameter → value.
        tasks: The tasks that will run; each argument must be a parameter of at least one of them.

    Raises:
        CubeError: An argument is unknown, or an address instead of a path.
    """
    _check_args(args, [cube.tasks[name] for name in tasks])
    changed = {name: _with_values(task, args) for name, task in cube.tasks.items()}
    return attrs.evolve(cube, tasks=changed)


def _with_values(task: Task, args: Mapping[str, str]) -> Task:
    parameters = tuple(_with_value(parameter, args) for parameter in task.parameters)
    # A sweep has thousands of cubes, so they share what does not differ.
    return task if parameters == task.parameters else attrs.evolve(task, parameters=parameters)


def _with_value(parameter: Parameter, args: Mapping[str, str]) -> Parameter:
    if parameter.name not in args:
        return parameter
    value = args[parameter.name]
    is_directory = parameter.type is ParameterType.UNKNOWN and value.endswith(SEPARATORS)
    return attrs.evolve(
        parameter,
        value=relative_to_workspace(value),
        type=ParameterType.DIRECTORY if is_directory else parameter.type,
        given=True,
    )


def _known_task(tasks: Mapping[str, Task], name: str) -> Task:
    if name in tasks:
        return tasks[name]
    raise CubeError(
        f"unknown task '{name}'{did_you_mean(name, tasks)}",
        hint=f"tasks of this cube: {', '.join(tasks)}",
    )


def _check_args(args: Mapping[str, str], tasks: Sequence[Task]) -> None:
    known = [parameter.name for task in tasks for parameter in task.parameters]
    names = ", ".join(task.name for task in tasks)
    for arg, value in args.items():
        if _ADDRESS.match(value):
            raise CubeError(
                f"{arg}={value}: expected a path, got an address",
                hint="a task reads and writes paths: copy data from an address before the run, and "
                "to an address after it, or in the task",
            )
        if arg not in known:
            raise CubeError(
                f"unknown parameter '{arg}' of task {names}{did_you_mean(arg, known)}",
                hint=f"parameters: {', '.join(dict.fromkeys(known)) or 'none'}",
            )


def _reject_unknown_overrides(given: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Refuse a ``-P`` for a task that is not in the file, or for a misspelled section."""
    if "tasks" in given and isinstance(given["tasks"], Mapping):
        known = written.get("tasks") or {}
        for task in given["tasks"]:
            if task not in known:
                raise CubeError(f"-P tasks.{task}: unknown task{did_you_mean(task, known)}")
    sections = {*written, *SETTINGS, "runner", "platform", "name", "description", "tasks"}
    for key in given:
        if key not in sections and (suggestion := did_you_mean(key, sections, ALMOST_EQUAL)):
            raise CubeError(f"-P {key}: unknown key{suggestion}")
