# SPDX-License-Identifier: Apache-2.0
"""Look up on this machine what a host has, or will have after the upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mlcube_remote.cube.host_paths import PathKind
from mlcube_remote.cube.model import Cube
from mlcube_remote.plan.host_paths import HostPaths

_NAMES = {"f": PathKind.FILE, "d": PathKind.DIRECTORY}


def kind_in_mirrors(
    mirrors: Mapping[str, Path], kinds: Mapping[str, str], *, is_local: bool
) -> Callable[[str], PathKind | None]:
    """Return a function that tells what exists at a path of the host.

    Args:
        mirrors: Directory of the host → the directory of this machine that it mirrors.
        kinds: Path → ``f``, ``d`` or ``-``, as probed or assumed.
        is_local: Whether the host is this machine.
    """

    def kind_of(path: str) -> PathKind | None:
        for remote, local in mirrors.items():
            if path == remote or path.startswith(remote + "/"):
                kind = _local_kind(local / path[len(remote) :].lstrip("/"))
                # An earlier run may have made it on the host only.
                return kind or _NAMES.get(kinds.get(path, "-"))
        kind = _local_kind(path) if is_local else None
        return kind or _NAMES.get(kinds.get(path, "-"))

    return kind_of


def missing_here(mirrors: Mapping[str, Path], paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the host that are not in a directory that it mirrors."""
    kind_of = kind_in_mirrors(mirrors, {}, is_local=False)
    return tuple(path for path in paths if kind_of(path) is None)


def _local_kind(path: str | Path) -> PathKind | None:
    if os.path.isdir(path):
        return PathKind.DIRECTORY
    return PathKind.FILE if os.path.exists(path) else None


def read_mirrored(cube: Cube, paths: HostPaths, path: str, *, limit: int = 1024**2) -> bytes | None:
    """Return the content of a file of the cube, at most one byte more than ``limit``.

    Args:
        cube: The cube.
        paths: The job's paths.
        path: The path of the file on the host.
        limit: Maximum number of bytes that the caller accepts.

    Returns:
        ``None`` if this machine does not have the file.
    """
    if not path.startswith(f"{paths.cube}/"):
        return None
    here = cube.root / path[len(paths.cube) + 1 :]
    if not here.is_file():  # a pipe would block
        return None
    with open(here, "rb") as file:
        return file.read(limit + 1)
