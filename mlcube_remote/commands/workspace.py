# SPDX-License-Identifier: Apache-2.0
"""A workspace of one's own starts with the inputs that the cube brought along."""

from __future__ import annotations

import posixpath

from mlcube_remote.commands.model import Copy, KindOf, Layout, PathKind
from mlcube_remote.cube.host_paths import holds, host_path
from mlcube_remote.cube.model import IO, Cube, Task


def copies_for(cube: Cube, task: Task, layout: Layout, kind_of: KindOf) -> tuple[Copy, ...]:
    """Return the inputs to copy from the cube's own workspace into another one.

    An input is copied when it lies inside the workspace, is there in the cube's own one and not in
    the other, and no task of the cube makes it. The workspace as a whole is never copied.
    """
    own = posixpath.join(layout.root, "workspace")
    if posixpath.normpath(layout.workspace) == posixpath.normpath(own):
        return ()
    source_layout = Layout(
        root=layout.root, workspace=own, home=layout.home, environ=layout.environ
    )
    made = {
        host_path(parameter.value, layout)
        for each in cube.tasks.values()
        for parameter in each.parameters
        if parameter.io is IO.OUTPUT
    }
    copies: list[Copy] = []
    for parameter in task.parameters:
        source = host_path(parameter.value, source_layout)
        target = host_path(parameter.value, layout)
        kind = kind_of(source)
        if (
            parameter.io is IO.INPUT
            and kind is not None
            and target not in made
            and target != layout.workspace
            and holds(own, source)
            and holds(layout.workspace, target)
            and kind_of(target) is None
        ):
            copies.append(Copy(source=source, target=target, kind=kind))
    return tuple(dict.fromkeys(copies))


def after_copies(copies: tuple[Copy, ...], kind_of: KindOf) -> KindOf:
    """Return a ``kind_of`` that sees the copies as if they had been made."""
    made = {copy.target: copy.kind for copy in copies}

    def kind(path: str) -> PathKind | None:
        return made.get(path) or kind_of(path)

    return kind
