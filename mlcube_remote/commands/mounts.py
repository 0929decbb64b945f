# SPDX-License-Identifier: Apache-2.0
"""From a task's parameters to mounts and arguments: MLCube's rules, for every platform.

Each parameter's directory (for a file, the one it lies in) is mounted as ``/mlcube_io0``,
``/mlcube_io1``, … in order of first mention, and the task gets ``--NAME=/mlcube_ioN[/file]``.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.commands.model import KindOf, Layout, PathKind
from mlcube_remote.cube.host_paths import host_path
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError


@attrs.frozen(kw_only=True)
class Mount:
    """One directory of the host and where the container sees it."""

    source: str
    target: str
    opts: str | None = None
    """``ro`` or ``rw``; ``None`` leaves it to the engine, which means ``rw``."""


@attrs.frozen(kw_only=True)
class Bindings:
    """What a task's parameters come to."""

    mounts: tuple[Mount, ...]
    arguments: tuple[str, ...]
    """``--NAME=PATH`` for each parameter, without the task's name."""
    from_cube: Mapping[str, Parameter]
    """Mounted directory → the parameter of mlcube.yaml, not of the command line, that asks."""
    warnings: tuple[str, ...] = ()


def bind(
    cube: Cube,
    task: Task,
    *,
    layout: Layout,
    kind_of: KindOf,
    input_opts: str | None = None,
    forced_input_opts: str | None = None,
) -> Bindings:
    """Work out the mounts and arguments of a task.

    Args:
        cube: The cube, for messages.
        task: The task.
        layout: Where things are on the task's machine.
        kind_of: Tells files from directories there.
        input_opts: Mount option of inputs that name none.
        forced_input_opts: Mount option of all inputs (``--mount``).

    Raises:
        PlanError: It cannot be known whether a parameter is a file or a directory.
    """
    targets: dict[str, str] = {}
    opts: dict[str, str] = {}
    arguments: list[str] = []
    from_cube: dict[str, Parameter] = {}
    warnings: list[str] = []
    for parameter in task.parameters:
        path = host_path(parameter.value, layout)
        kind = _kind(cube, task, parameter, path, kind_of)
        directory, file = (path, None) if kind is PathKind.DIRECTORY else posixpath.split(path)
        target = targets.setdefault(directory, f"/mlcube_io{len(targets)}")
        arguments.append(f"--{parameter.name}={target if file is None else f'{target}/{file}'}")
        if not parameter.given:
            from_cube.setdefault(directory, parameter)
        wanted = parameter.opts
        if parameter.io is IO.INPUT:
            wanted = forced_input_opts or wanted or input_opts
        if wanted:
            opts[directory] = wanted if opts.get(directory, wanted) == wanted else "rw"
    mounts = tuple(
        Mount(source=source, target=target, opts=opts.get(source))
        for source, target in targets.items()
    )
    for parameter in task.parameters:
        if parameter.io is IO.OUTPUT:
            path = host_path(parameter.value, layout)
            if "ro" in (opts.get(path), opts.get(posixpath.dirname(path))):
                warnings.append(
                    f"task {task.name}: output {parameter.name} lies in a directory that is "
                    "mounted read-only; the task cannot write it"
                )
    return Bindings(
        mounts=mounts,
        arguments=tuple(arguments),
        from_cube=from_cube,
        warnings=tuple(warnings),
    )


def csv_line(fields: Sequence[str]) -> str:
    """Return fields as engines' ``--mount`` reads them: a line of CSV, quoted where need be."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _kind(cube: Cube, task: Task, parameter: Parameter, path: str, kind_of: KindOf) -> PathKind:
    if parameter.type is not ParameterType.UNKNOWN:
        return PathKind(parameter.type.value)
    where = f"{_where(cube, task, parameter)}: task {task.name}: {parameter.io.value}"
    hint = "say `type: file` or `type: directory`, or end a directory's path with '/'"
    if parameter.io is IO.OUTPUT:
        raise PlanError(
            f"{where} {parameter.name}: expected a type, a file or a directory", hint=hint
        )
    kind = kind_of(path)
    if kind is None:
        raise PlanError(
            f"{where} {parameter.name}: {path} is not there, so it cannot be known whether it is "
            "a file or a directory",
            hint=hint,
        )
    return kind


def _where(cube: Cube, task: Task, parameter: Parameter) -> str:
    group = "inputs" if parameter.io is IO.INPUT else "outputs"
    return cube.where("tasks", task.name, "parameters", group, parameter.name)
