# SPDX-License-Identifier: Apache-2.0
"""Find the inventory.

In this order: the option, the environment variable, the working directory, the cube's directory,
the user's configuration directory.
"""

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
    """Read the first inventory that exists.

    Args:
        explicit: The value of ``--inventory``, if given.
        cube: The cube's directory.

    Raises:
        InventoryError: The inventory is wrong, or a named one does not exist.
    """
    for named, origin in ((explicit, "--inventory"), (os.environ.get(VARIABLE), f"${VARIABLE}")):
        if named:
            path = Path(os.path.expanduser(named))
            if os.path.isdir(path):
                path /= FILE_NAME
            if not os.path.exists(path):
                raise InventoryError(
                    f"{origin}: {path}: no such file", hint="give the path of an existing inventory"
                )
            return load(path)
    for path in _candidates(cube):
        if os.path.exists(path):
            return load(path)
    return empty()


def _candidates(cube: Path) -> Iterator[Path]:
    yield Path(FILE_NAME)
    yield cube / FILE_NAME
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    yield Path(os.path.expanduser(config)) / "mlcube-remote" / FILE_NAME
