# SPDX-License-Identifier: Apache-2.0
"""What exists at a path of the host, as far as this machine or the probe can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mlcube_remote.cube.host_paths import PathKind

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


def _local_kind(path: str | Path) -> PathKind | None:
    if os.path.isdir(path):
        return PathKind.DIRECTORY
    return PathKind.FILE if os.path.exists(path) else None
