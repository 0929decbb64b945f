# SPDX-License-Identifier: Apache-2.0
"""Finding the inventory: the option, the environment, here, beside the cube, the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.load import empty, load
from mlcube_remote.inventory.model import Inventory

FILE_NAME = "hosts.yaml"
VARIABLE = "MLCUBE_REMOTE_INVENTORY"


def open_inventory(explicit: str | None, cube: Path) -> Inventory:
    """Read the first inventory there is.

    Args:
        explicit: What ``--inventory`` said, if anything.
        cube: The cube's directory.

    Raises:
        InventoryError: It is wrong, or was named and is not there.
    """
    for named, origin in ((explicit, "--inventory"), (os.environ.get(VARIABLE), f"${VARIABLE}")):
        if named:
            path = Path(os.path.expanduser(named))
            if os.path.isdir(path):
                path /= FILE_NAME
            if not os.path.exists(path):
                raise InventoryError(
                    f"{origin}: {path}: no such file", hint="name an inventory that exists"
                )
            return load(path)
    for path in _places(cube):
        if os.path.exists(path):
            return load(path)
    return empty()


def _places(cube: Path) -> Iterator[Path]:
    yield Path(FILE_NAME)
    yield cube / FILE_NAME
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    yield Path(os.path.expanduser(config)) / "mlcube-remote" / FILE_NAME
