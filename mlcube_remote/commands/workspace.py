# SPDX-License-Identifier: Apache-2.0
"""Copy a cube's own inputs into a workspace outside the cube."""

from __future__ import annotations

import posixpath

from mlcube_remote.commands.model import Copy
from mlcube_remote.cube.host_paths import KindOf, Layout, PathKind, contains, host_path
from mlcube_remote.cube.model import IO, Cube, Task


def copies_for(cube: Cube, task: Task, layout: Layout, kind_of: KindOf) -> tuple[Copy, ...]:
    """Return the inputs to copy from the cube's own workspace into another one.

    An input is copied if it is inside the workspace, exists in the cube's own one but not in the
    other, and is not an output of a task. The workspace as a whole is never copied.
    """
    own = posixpath.join(layout.root, "workspace")
    if posixpath.normpath(layout.workspace) == posixpath.normpath(own):
        return ()
    source_layout = Layout(
        root=layout.root, workspace=own, home=layout.home, environ=layout.environ
    )
    outputs = {
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
            and target not in outputs
            and target != layout.workspace
            and contains(own, source)
            and contains(layout.workspace, target)
            and kind_of(target) is None
        ):
            copies.append(Copy(source=source, target=target, kind=kind))
    return tuple(dict.fromkeys(copies))


def after_copies(copies: tuple[Copy, ...], kind_of: KindOf) -> KindOf:
    """Return a ``kind_of`` for the time after the copies."""
    copied = {copy.target: copy.kind for copy in copies}

    def kind(path: str) -> PathKind | None:
        return copied.get(path) or kind_of(path)

    return kind
