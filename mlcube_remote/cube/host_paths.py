# SPDX-License-Identifier: Apache-2.0
"""Paths of ``mlcube.yaml`` and of the command line, as they are on the machine of the task."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import attrs

from mlcube_remote.cube.model import ROOT, WORKSPACE, Cube
from mlcube_remote.errors import PlanError

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)


class PathKind(Enum):
    """What exists at a path."""

    FILE = "file"
    DIRECTORY = "directory"


KindOf = Callable[[str], PathKind | None]
"""Absolute path on the task's machine → what exists there; ``None``: nothing, or unknown."""


@attrs.frozen(kw_only=True)
class Layout:
    """Absolute paths on the machine where the task runs.

    Until the host has reported its home, they start with ``~``.
    """

    root: str
    """The cube's directory, which contains ``mlcube.yaml``."""
    workspace: str
    home: str
    """The user's home, for ``~``."""
    environ: Mapping[str, str] = NO_VARIABLES
    """Variables for ``$NAME`` in parameter values; ``HOME`` is always :attr:`home`."""
    shared_workspace: str | None = None
    """The workspace of the cube if :attr:`workspace` belongs to one of several jobs."""

    @property
    def of_cube(self) -> Layout:
        """The layout for what all jobs share, such as the image."""
        if self.shared_workspace is None:
            return self
        return attrs.evolve(self, workspace=self.shared_workspace, shared_workspace=None)


def host_path(value: str, layout: Layout, *, base: str | None = None) -> str:
    """Return the absolute path of a value of mlcube.yaml.

    ``${runtime.root}``, ``${runtime.workspace}``, ``$NAME`` of known variables and a leading ``~``
    are expanded. ``..`` stays, because its meaning depends on the links on that machine.

    Args:
        value: The path.
        layout: Where things are on the task's machine.
        base: The directory of relative paths; ``None``: the workspace.

    Raises:
        PlanError: The path starts with ``~user``, which only that machine could expand.
    """
    text = expand_runtime(value, layout)
    text = _VARIABLE.sub(lambda match: _variable(match, layout), text)
    if text.startswith("~"):
        user, _, rest = text[1:].partition("/")
        if user:
            raise PlanError(
                f"{value!r}: the home of another user is not supported",
                hint="write the absolute path, or ./~… for a file with this name",
            )
        return PurePosixPath(layout.home, rest.lstrip("/")).as_posix()
    return PurePosixPath(layout.workspace if base is None else base, text).as_posix()


def layout_here(cube: Cube, home: str = "~") -> Layout:
    """Return where a cube is on this machine."""
    return Layout(root=str(cube.root), workspace=str(cube.workspace), home=home)


def context_here(cube: Cube, value: str) -> Path | None:
    """Return the directory of this machine that a value of ``build_context`` means.

    Returns:
        ``None`` if it means a path of the host: absolute, or below ``~``.
    """
    if value.startswith(("/", "~")):
        return None
    return Path(os.path.normpath(cube.root / expand_runtime(value, layout_here(cube))))


def expand_runtime(value: str, layout: Layout) -> str:
    """Replace ``${runtime.root}`` and ``${runtime.workspace}``."""
    return value.replace(ROOT, layout.root).replace(WORKSPACE, layout.workspace)


def contains(directory: str, path: str) -> bool:
    """Return whether a path is a directory or is inside it; ``..`` is resolved, links are not."""
    outer, inner = normalize(directory), normalize(path)
    return inner == outer or inner.startswith(outer if outer == "/" else f"{outer}/")


def normalize(path: str) -> str:
    """Resolve ``.``, ``..`` and repeated slashes in the text of a path.

    POSIX gives two leading slashes a meaning of their own, so ``normpath`` keeps them; on Linux
    ``//etc`` is ``/etc``.
    """
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def missing_directories(paths: Iterable[str], kind_of: KindOf) -> tuple[str, ...]:
    """Return the directories that ``mkdir -p`` would create, parents included, sorted."""
    missing: set[str] = set()
    for path in paths:
        current = path
        while current not in missing and kind_of(current) is not PathKind.DIRECTORY:
            parent = posixpath.dirname(current)
            if parent == current or not parent:  # the root, or a home that is not known yet
                break
            missing.add(current)
            current = parent
    return tuple(sorted(missing))


def _variable(match: re.Match[str], layout: Layout) -> str:
    name = match[1] or match[2]
    if name == "HOME":
        return layout.home
    return layout.environ.get(name, match[0])
