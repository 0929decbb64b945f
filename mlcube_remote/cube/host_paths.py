# SPDX-License-Identifier: Apache-2.0
"""Paths of ``mlcube.yaml`` and of the command line, as they are on the task's machine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from mlcube_remote.commands.model import KindOf, Layout, PathKind
from mlcube_remote.cube.model import ROOT, WORKSPACE
from mlcube_remote.errors import PlanError

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)


def host_path(value: str, layout: Layout, *, base: str | None = None) -> str:
    """Return the absolute path that a value of mlcube.yaml means.

    A layout whose paths begin with ``~``, as before a host has told its home, keeps the ``~``.

    ``${runtime.root}``, ``${runtime.workspace}``, ``$NAME`` of known variables and a leading ``~``
    are filled in; a relative path is relative to ``base``, or to the workspace. ``..`` stays: what
    it means depends on the links on that machine.

    Raises:
        PlanError: ``~somebody``, which only that machine could tell.
    """
    text = fill_in(value, layout)
    text = _VARIABLE.sub(lambda match: _variable(match, layout), text)
    if text.startswith("~"):
        user, _, rest = text[1:].partition("/")
        if user:
            raise PlanError(
                f"{value!r}: homes of other users are not looked up",
                hint="write the absolute path, or ./~… for a file of that name",
            )
        return PurePosixPath(layout.home, rest.lstrip("/")).as_posix()
    return PurePosixPath(layout.workspace if base is None else base, text).as_posix()


def fill_in(value: str, layout: Layout) -> str:
    """Replace ``${runtime.root}`` and ``${runtime.workspace}``."""
    return value.replace(ROOT, layout.root).replace(WORKSPACE, layout.workspace)


def holds(directory: str, path: str) -> bool:
    """Whether the path is the directory, or lies in it; ``..`` is folded, links are not seen."""
    outer, inner = posixpath.normpath(directory), posixpath.normpath(path)
    return inner == outer or inner.startswith(outer if outer == "/" else f"{outer}/")


def missing_directories(paths: Iterable[str], kind_of: KindOf) -> tuple[str, ...]:
    """Return what ``mkdir -p`` of the paths would make, parents included, sorted."""
    missing: set[str] = set()
    for path in paths:
        current = path
        while current not in missing and kind_of(current) is not PathKind.DIRECTORY:
            parent = posixpath.dirname(current)
            if parent == current or not parent:  # the top, or a home not yet known
                break
            missing.add(current)
            current = parent
    return tuple(sorted(missing))


def _variable(match: re.Match[str], layout: Layout) -> str:
    name = match[1] or match[2]
    if name == "HOME":
        return layout.home
    return layout.environ.get(name, match[0])
