# SPDX-License-Identifier: Apache-2.0
"""Commands of a task whose input types are known only when it begins.

An earlier task of the same job makes these inputs, and they have no type. The numbers of all mounts
depend on the types, so there is one command for each combination, and the host chooses.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable

import attrs

from mlcube_remote.commands.model import LateInput, TaskCommands
from mlcube_remote.commands.scratch import merge_copies
from mlcube_remote.cube.host_paths import Layout, host_path
from mlcube_remote.cube.model import Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError

MAX_LATE_INPUTS = 6
"""Maximum number of such inputs in one task; each of them doubles the number of commands."""

_TYPES = {"f": ParameterType.FILE, "d": ParameterType.DIRECTORY}


def build_alternatives(
    cube: Cube, task: Task, layout: Layout, build: Callable[[Task], TaskCommands]
) -> TaskCommands:
    """Return the commands of a task.

    Args:
        cube: The cube.
        task: The task.
        layout: Where things are on the host.
        build: Builds the commands of the task with types for all its parameters.

    Raises:
        PlanError: Too many types are unknown.
    """
    late = [parameter for parameter in task.parameters if parameter.decided_at_start]
    if not late:
        return build(task)
    if len(late) > MAX_LATE_INPUTS:
        raise _too_many(cube, task, late)
    inputs = tuple(
        LateInput(parameter.name, host_path(parameter.value, layout)) for parameter in late
    )
    built = {
        "".join(letters): build(_with_types(task, letters))
        for letters in itertools.product("fd", repeat=len(late))
    }
    likely = "".join("f" if each.type is ParameterType.FILE else "d" for each in late)
    every = tuple(built.values())
    first = every[0]
    return attrs.evolve(
        built[likely],
        outputs=tuple(x for x in first.outputs if all(x in each.outputs for each in every)),
        directories=tuple(
            x for x in first.directories if all(x in each.directories for each in every)
        ),
        creates=tuple(x for x in first.creates if all(x in each.creates for each in every)),
        scratch=merge_copies(each.scratch for each in every),
        late_inputs=inputs,
        alternatives=built,
    )


def _with_types(task: Task, letters: tuple[str, ...]) -> Task:
    types = iter(letters)
    parameters = (
        attrs.evolve(parameter, type=_TYPES[next(types)], decided_at_start=False)
        if parameter.decided_at_start
        else parameter
        for parameter in task.parameters
    )
    return attrs.evolve(task, parameters=tuple(parameters))


def _too_many(cube: Cube, task: Task, late: list[Parameter]) -> PlanError:
    names = {parameter.name for parameter in late}
    declared = next(each for each in cube.tasks[task.name].parameters if each.name in names)
    key = f"tasks.{task.name}.parameters.inputs.{declared.name}"
    typed = shlex.quote(f"{key}={{type: file, default: {declared.value}}}")
    return PlanError(
        f"{cube.where('tasks', task.name)}: task {task.name}: {len(late)} inputs without a type "
        f"are made by earlier tasks of the run ({', '.join(sorted(names))}); expected at most "
        f"{MAX_LATE_INPUTS}",
        hint=f"give some of them a type: -P {typed}",
    )
