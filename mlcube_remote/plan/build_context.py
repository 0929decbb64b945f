# SPDX-License-Identifier: Apache-2.0
"""A build context beside the cube, such as ``../project``: it is sent as a tree of its own."""

from __future__ import annotations

from pathlib import Path

import attrs

from mlcube_remote.cube.host_paths import context_here
from mlcube_remote.cube.model import Cube
from mlcube_remote.plan.host_paths import data_directory


@attrs.frozen(kw_only=True)
class BuildContext:
    """The directory of an image's build that is outside the cube."""

    local: Path
    """The directory on this machine."""
    remote: str
    """Its mirror on the host."""


def outer_context(cube: Cube, root: str, value: str) -> BuildContext | None:
    """Return the context that is sent for a value of ``build_context``.

    Args:
        cube: The cube.
        root: ``remote_root`` of the host.
        value: The value; an absolute path, or one below ``~``, is a path of the host.

    Returns:
        ``None`` if the context is part of the cube, is on the host, or does not exist here.
    """
    local = context_here(cube, value)
    if local is None or local.is_relative_to(cube.root) or not local.is_dir():
        return None
    return BuildContext(local=local, remote=f"{root}/{data_directory(local)}")
