# SPDX-License-Identifier: Apache-2.0
"""Turn a task's parameters into mounts and arguments, with MLCube's rules, for all platforms.

The directory of each parameter (for a file, its parent) is mounted as ``/mlcube_io0``,
``/mlcube_io1``, … in order of first use, and the task gets ``--NAME=/mlcube_ioN[/file]``.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, host_path
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError


@attrs.frozen(kw_only=True)
class Mount:
    """One directory of the host and its path in the container."""

    source: str
    target: str
    opts: str | None = None
    """``ro`` or ``rw``; ``None``: the engine's default, which is ``rw``."""
    is_parent: bool = False
    """Whether it is mounted only for files in it."""


@attrs.frozen(kw_only=True)
class Bindings:
    """The mounts and arguments of a task."""

    mounts: tuple[Mount, ...]
    arguments: tuple[str, ...]
    """``--NAME=PATH`` for each parameter, without the task's name."""
    from_cube: Mapping[str, Parameter]
    """Directory → the parameter that mounts it, for values from mlcube.yaml only."""
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
    """Return the mounts and arguments of a task.

    Args:
        cube: The cube, for messages.
        task: The task.
        layout: Where things are on the task's machine.
        kind_of: Returns whether a path is a file or a directory there.
        input_opts: Mount option of inputs without one.
        forced_input_opts: Mount option of all inputs (``--mount``).

    Raises:
        PlanError: It is unknown whether a parameter is a file or a directory.
    """
    targets: dict[str, str] = {}
    opts: dict[str, str] = {}
    arguments: list[str] = []
    from_cube: dict[str, Parameter] = {}
    outputs: dict[str, str] = {}
    whole: set[str] = set()
    for parameter in task.parameters:
        path = host_path(parameter.value, layout)
        kind = _kind(cube, task, parameter, path, kind_of)
        directory, file = (path, None) if kind is PathKind.DIRECTORY else posixpath.split(path)
        if file is None:
            whole.add(directory)
        target = targets.setdefault(directory, f"/mlcube_io{len(targets)}")
        arguments.append(f"--{parameter.name}={target if file is None else f'{target}/{file}'}")
        if not parameter.given:
            from_cube.setdefault(directory, parameter)
        option = parameter.opts
        if parameter.io is IO.OUTPUT:
            outputs[parameter.name] = directory
        else:
            option = forced_input_opts or option or input_opts
        if option:  # a directory of two parameters is writable if one of them needs it
            opts[directory] = option if opts.get(directory, option) == option else "rw"
    return Bindings(
        mounts=tuple(
            Mount(
                source=source,
                target=target,
                opts=opts.get(source),
                is_parent=source not in whole,
            )
            for source, target in targets.items()
        ),
        arguments=tuple(arguments),
        from_cube=from_cube,
        warnings=_warn_of_read_only_outputs(task, outputs, opts),
    )


def _warn_of_read_only_outputs(
    task: Task, outputs: Mapping[str, str], opts: Mapping[str, str]
) -> tuple[str, ...]:
    """Warn of outputs whose own mount is read-only; other mounts of directories above do not count.

    Args:
        task: The task.
        outputs: Output → the directory that is mounted for it.
        opts: Directory → its mount option.
    """
    return tuple(
        f"task {task.name}: output {name} is in a directory that is mounted read-only, so the task "
        "cannot write it"
        for name, directory in outputs.items()
        if opts.get(directory) == "ro"
    )


def csv_line(fields: Sequence[str]) -> str:
    """Return the value of an engine's ``--mount``: fields as one line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def bind_sif(mount: Mount) -> tuple[str, ...]:
    """Return the options of Singularity and Apptainer for a mount."""
    if ":" not in mount.source and "," not in mount.source:
        options = f":{mount.opts}" if mount.opts else ""
        return ("--bind", f"{mount.source}:{mount.target}{options}")
    # --bind splits at both characters, and its escapes fail if a path has both.
    fields = ["type=bind", f"source={mount.source}", f"destination={mount.target}"]
    return ("--mount", csv_line([*fields, "ro"] if mount.opts == "ro" else fields))


def _kind(cube: Cube, task: Task, parameter: Parameter, path: str, kind_of: KindOf) -> PathKind:
    if parameter.type is not ParameterType.UNKNOWN:
        return PathKind(parameter.type.value)
    position = cube.where_declared(task.name, parameter)
    where = f"{position}: task {task.name}: {parameter.io.value}"
    hint = "add `type: file` or `type: directory`, or end a directory's path with '/'"
    if parameter.io is IO.OUTPUT:
        raise PlanError(f"{where} {parameter.name}: expected a type, file or directory", hint=hint)
    kind = kind_of(path)
    if kind is None:
        raise PlanError(
            f"{where} {parameter.name}: {path} does not exist, so it is unknown whether it is a "
            "file or a directory",
            hint=hint,
        )
    return kind
