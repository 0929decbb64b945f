# SPDX-License-Identifier: Apache-2.0
"""Reading a cube: the file, ``-P`` overrides and task arguments become a :class:`Cube`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.cube.model import Cube, Parameter, ParameterType, Task
from mlcube_remote.cube.read import SEPARATORS, Reader, misspelt, relative_to_workspace
from mlcube_remote.cube.resolve import resolve
from mlcube_remote.errors import CubeError
from mlcube_remote.platforms import SETTINGS
from mlcube_remote.yamlsource import nearest

FILE_NAME = "mlcube.yaml"


def load(
    path: str | os.PathLike[str] = ".",
    *,
    overrides: Sequence[str] = (),
    task_args: Mapping[str, str] | None = None,
    tasks: Sequence[str] = (),
    workspace: str | os.PathLike[str] | None = None,
) -> Cube:
    """Read a cube.

    Args:
        path: The cube's directory, or its YAML file under any name.
        overrides: What was typed after each ``-P``: ``docker.image=NAME``.
        task_args: ``name=value`` arguments, split; they win over mlcube.yaml.
        tasks: The tasks that will run. At least one of them must know each task argument;
            when empty, any task of the cube may.
        workspace: The workspace on this machine; ``None`` means ``workspace/`` in the cube.

    Raises:
        CubeError: The file is missing or wrong, or an argument does not fit it.
    """
    file = _file(path)
    document = yamlsource.load(file, error=CubeError)

    def locate(keys: tuple[str, ...]) -> str:
        if keys and any(override.startswith(f"{'.'.join(keys)}=") for override in overrides):
            return f"-P {'.'.join(keys)}"
        return document.where(keys)

    reader = Reader(locate)
    if not isinstance(document.data, Mapping):
        reader.fail((), "expected a mapping with name, tasks and a platform section")
    data, given = resolve(document.data, overrides, locate)
    _refuse_unknown_overrides(given, document.data)
    reader.cube_keys(data)
    args = dict(task_args or {})
    for name, value in args.items():
        if "\0" in value:
            raise CubeError(f"{name}: the value holds a NUL character")
    all_tasks = reader.tasks(data, args)
    if args:
        chosen = [_known_task(all_tasks, name) for name in tasks] or list(all_tasks.values())
        _refuse_unknown_args(args, chosen)
    return Cube(
        name=reader.text(("name",), data.get("name"), default=file.parent.name),
        root=file.parent,
        file=file,
        workspace=_workspace(workspace, file.parent),
        tasks=all_tasks,
        description=reader.text(("description",), data.get("description")),
        accelerator_count=(data.get("platform") or {}).get("accelerator_count"),
        settings=reader.settings(data),
        overrides={
            section: values for section, values in given.items() if isinstance(values, Mapping)
        },
        locate=locate,
    )


def select_tasks(cube: Cube, names: Sequence[str] = ()) -> tuple[Task, ...]:
    """Return the tasks to run, in the order asked for.

    Args:
        cube: The cube.
        names: Task names; none at all means the cube's only task.

    Raises:
        CubeError: A name is unknown, or none was given and there are several tasks.
    """
    if names:
        return tuple(_known_task(cube.tasks, name) for name in names)
    if len(cube.tasks) == 1:
        return tuple(cube.tasks.values())
    raise CubeError(
        f"{cube.where('tasks')}: no task was named and there are several: {', '.join(cube.tasks)}",
        hint=f"add --task={next(iter(cube.tasks))}",
    )


def _file(path: str | os.PathLike[str]) -> Path:
    given = Path(path).expanduser()
    file = given / FILE_NAME if given.is_dir() else given
    if not file.exists():
        raise CubeError(
            f"{file}: no such file",
            hint="name the cube's directory, or its YAML file, with --mlcube=PATH",
        )
    return Path(os.path.abspath(file))


def _workspace(given: str | os.PathLike[str] | None, root: Path) -> Path:
    if given is None:
        return root / "workspace"
    if str(given).startswith("storage:"):
        raise CubeError(f"--workspace={given}: storage URIs are not supported, expected a path")
    return Path(os.path.abspath(Path(given).expanduser()))


def with_arguments(cube: Cube, args: Mapping[str, str], tasks: Sequence[str]) -> Cube:
    """Return the cube as if it had been read with these task arguments on top of its own.

    Args:
        cube: The cube.
        args: Parameter → value.
        tasks: The tasks that will run; at least one of them must know each argument.

    Raises:
        CubeError: None does.
    """
    _refuse_unknown_args(args, [cube.tasks[name] for name in tasks])
    changed = {
        name: attrs.evolve(
            task, parameters=tuple(_given(parameter, args) for parameter in task.parameters)
        )
        for name, task in cube.tasks.items()
    }
    return attrs.evolve(cube, tasks=changed)


def _given(parameter: Parameter, args: Mapping[str, str]) -> Parameter:
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
    meant = nearest(name, tasks)
    raise CubeError(
        f"unknown task '{name}'" + (f" (did you mean '{meant}'?)" if meant else ""),
        hint=f"tasks of this cube: {', '.join(tasks)}",
    )


def _refuse_unknown_args(args: Mapping[str, str], tasks: Sequence[Task]) -> None:
    known = [parameter.name for task in tasks for parameter in task.parameters]
    names = ", ".join(task.name for task in tasks)
    for arg in args:
        if arg not in known:
            meant = nearest(arg, known)
            raise CubeError(
                f"unknown parameter '{arg}' of task {names}"
                + (f" (did you mean '{meant}'?)" if meant else ""),
                hint=f"parameters: {', '.join(dict.fromkeys(known)) or 'none'}",
            )


def _refuse_unknown_overrides(given: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Refuse a ``-P`` that names a task or parameter the file does not have."""
    if "tasks" in given and isinstance(given["tasks"], Mapping):
        known = written.get("tasks") or {}
        for task in given["tasks"]:
            if task not in known:
                meant = nearest(str(task), known)
                suffix = f" (did you mean '{meant}'?)" if meant else ""
                raise CubeError(f"-P tasks.{task}: unknown task{suffix}")
    sections = {*written, *SETTINGS, "runner", "platform", "name", "description", "tasks"}
    for key in given:
        if key not in sections and (meant := misspelt(key, sections)):
            raise CubeError(f"-P {key}: unknown key (did you mean '{meant}'?)")
