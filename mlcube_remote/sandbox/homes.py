# SPDX-License-Identifier: Apache-2.0
"""Homes of the users of sandbox hosts: made so that the engine finds them, deleted for good."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from mlcube_remote.sandbox.container import Bind
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from mlcube_remote.sandbox.flavours import Flavour


def ensure(flavour: Flavour, folder: Path, *, volume: str, label: str) -> Bind:
    """Make the user's home, which the engine and the host know by the same path.

    Args:
        flavour: The kind of host; a home in memory is a volume, and others are *folder*.
        folder: Where a home of ordinary size is.
        volume: The name for a volume.
        label: ``NAME=VALUE`` by which the volume is found again.

    Raises:
        SandboxError: The engine refused the volume.
    """
    if flavour.home_mount is None:
        folder.mkdir(parents=True, exist_ok=True)
        return Bind(source=str(folder), target=str(folder))
    docker(
        *("volume", "create", "--label", label, "--driver", "local"),
        *("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", f"o={flavour.home_mount}"),
        volume,
    )
    path = docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
    return Bind(source=volume, target=path)


def delete(folder: Path, *, label: str) -> None:
    """Delete *folder*, with files of root's that containers left in it.

    Args:
        folder: What is deleted; absent is fine.
        label: Carried by the container that deletes what this user may not.

    Raises:
        SandboxError: The engine refused to help.
    """
    if not folder.exists():
        return
    with contextlib.suppress(PermissionError):
        shutil.rmtree(folder)
        return
    docker(
        *("run", "--rm", "--label", label, "--network", "none"),
        *("--volume", f"{folder.parent}:/sandbox", BASE_IMAGE),
        *("rm", "-rf", "--", f"/sandbox/{folder.name}"),
    )
