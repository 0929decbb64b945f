# SPDX-License-Identifier: Apache-2.0
"""Home directories of the users of sandbox hosts: create and delete them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from mlcube_remote.directories import make_private_directory
from mlcube_remote.sandbox.container import Bind
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from mlcube_remote.sandbox.flavours import Flavour


def ensure_home(flavour: Flavour, folder: Path, *, volume: str, label: str) -> Bind:
    """Create the user's home, at the same path on the host and for the engine.

    Args:
        flavour: The kind of host; a home in memory is a volume, any other home is *folder*.
        folder: The folder of a home on disk.
        volume: The name of the volume.
        label: ``NAME=VALUE``, by which the volume is found and removed later.

    Raises:
        SandboxError: The engine refused the volume.
    """
    if flavour.home_mount is None:
        make_private_directory(folder.parent)
        # It is the home of another user, in the container; sshd refuses one that all can write.
        folder.mkdir(mode=0o755, exist_ok=True)
        return Bind(source=str(folder), target=str(folder))
    docker(
        *("volume", "create", "--label", label, "--driver", "local"),
        *("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", f"o={flavour.home_mount}"),
        volume,
    )
    path = docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
    return Bind(source=volume, target=path)


def delete_folder(folder: Path, *, label: str) -> None:
    """Delete *folder*, including root's files that containers left in it.

    Args:
        folder: The folder; it need not exist.
        label: Label for the container that deletes files which this user cannot delete.

    Raises:
        SandboxError: The engine did not start that container.
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
