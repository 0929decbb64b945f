# SPDX-License-Identifier: Apache-2.0
"""Inputs that an earlier task of the same job makes.

MLCube looks at a path when its task begins. Here the client may be gone by then, so the host looks:
the plan says which inputs it cannot know yet.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.cube.host_paths import Layout, contains, host_path, normalize
from mlcube_remote.cube.model import IO, Cube, ParameterType
from mlcube_remote.plan.placement import PlacedParameter

PlacedTasks = Mapping[str, tuple[PlacedParameter, ...]]
"""Task → its parameters."""


@attrs.frozen
class _Output:
    """An output of an earlier task."""

    task: str
    path: str
    is_directory: bool

    @property
    def mounted(self) -> str:
        """The directory in which its task can write."""
        return self.path if self.is_directory else posixpath.dirname(self.path)


def mark_made_inputs(placed: PlacedTasks, cube: Cube, layout: Layout) -> PlacedTasks:
    """Mark the inputs that an earlier task of the job makes.

    Args:
        placed: The parameters of the job's tasks, in the order in which they run.
        cube: The cube.
        layout: Where things are on the host.

    Raises:
        PlanError: A path starts with ``~user``.
    """
    if len(placed) < 2:
        return placed
    marked: dict[str, tuple[PlacedParameter, ...]] = {}
    made: list[_Output] = []
    for task, items in placed.items():
        untyped = {
            parameter.name
            for parameter in cube.tasks[task].parameters
            if parameter.io is IO.INPUT and parameter.type is ParameterType.UNKNOWN
        }
        marked[task] = tuple(
            item
            if item.is_output
            else _mark(item, made, layout, is_untyped=item.parameter.name in untyped)
            for item in items
        )
        made += [
            _Output(task, _path(item, layout), item.is_directory)
            for item in items
            if item.is_output
        ]
    return marked


def _mark(
    item: PlacedParameter, made: Sequence[_Output], layout: Layout, *, is_untyped: bool
) -> PlacedParameter:
    path = _path(item, layout)
    makers = [output for output in made if contains(output.path, path)]
    makers += _beside(item, path, made, layout)
    parts = [output for output in made if contains(path, output.path)]
    if is_untyped and any(path != output.path or output.is_directory for output in parts):
        item = _with_type(item, ParameterType.DIRECTORY)
    elif is_untyped and makers:
        item = _with_type(item, _likely_type(path, parts), decided_at_start=True)
    if not makers and not parts:
        return item
    is_file = any(path == output.path and not output.is_directory for output in makers)
    return attrs.evolve(
        item,
        made_by=(makers or parts)[-1].task,
        is_inside_output=bool(makers),
        is_made_whole=is_file,
    )


def _beside(
    item: PlacedParameter, path: str, made: Sequence[_Output], layout: Layout
) -> list[_Output]:
    """Return outputs whose tasks can make the input, although they do not declare it.

    The directory of a file is mounted, and a task may write more files there. The workspace as a
    whole does not count: a misspelled name would be found only after the first task.
    """
    if item.local is None or os.path.lexists(item.local):
        return []
    tops = {normalize(layout.workspace), normalize(layout.root)}
    return [
        output
        for output in made
        if normalize(output.mounted) not in tops and contains(output.mounted, path)
    ]


def _likely_type(path: str, parts: Sequence[_Output]) -> ParameterType:
    is_file = bool(parts or posixpath.splitext(path)[1])
    return ParameterType.FILE if is_file else ParameterType.DIRECTORY


def _with_type(
    item: PlacedParameter, kind: ParameterType, *, decided_at_start: bool = False
) -> PlacedParameter:
    changed = attrs.evolve(item.parameter, type=kind, decided_at_start=decided_at_start)
    return attrs.evolve(item, parameter=changed)


def _path(item: PlacedParameter, layout: Layout) -> str:
    return normalize(host_path(item.parameter.value, layout))
