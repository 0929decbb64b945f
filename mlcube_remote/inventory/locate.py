# SPDX-License-Identifier: Apache-2.0
"""Find the inventory, and tell whether it is the user's own or part of a cube.

In this order: the option, the environment variable, the working directory if it is not inside a
cube, the user's configuration directory, the cube's directory. The user's own files come first:
a file of the cube must not decide where a host of the user is.
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from mlcube_remote.errors import InventoryError

FILE_NAME = "hosts.yaml"
VARIABLE = "MLCUBE_REMOTE_INVENTORY"
_CUBE_FILE = "mlcube.yaml"


@attrs.frozen(kw_only=True)
class FoundInventory:
    """An inventory file that exists."""

    path: Path
    cube: Path | None = None
    """Directory of the cube that the file is part of; ``None``: the file is the user's own."""


def find_inventory(explicit: str | None, cube: Path | None) -> FoundInventory | None:
    """Return the first inventory that exists.

    Args:
        explicit: The value of ``--inventory``, if given.
        cube: Directory of the cube that the command names, if it names one.

    Raises:
        InventoryError: A named inventory does not exist.
    """
    for named, origin in ((explicit, "--inventory"), (os.environ.get(VARIABLE), f"${VARIABLE}")):
        if named:
            return FoundInventory(path=_named_inventory(named, origin))
    here = Path.cwd()
    around = enclosing_cube(here)
    if around is None and cube is not None and _is_inside(here, cube):
        around = cube
    own = [*([] if around else [Path(FILE_NAME)]), _configured_file()]
    for path in own:
        if os.path.exists(path):
            return FoundInventory(path=path)
    for directory in dict.fromkeys(each for each in (cube, around) if each):
        if os.path.exists(directory / FILE_NAME):
            return FoundInventory(path=directory / FILE_NAME, cube=directory)
    return None


def own_file(explicit: str | None) -> Path:
    """Return the user's own inventory, or where it is created: never the file of a cube.

    Args:
        explicit: The value of ``--inventory``, if given.

    Raises:
        InventoryError: It is a directory without a ``hosts.yaml``.
    """
    named = explicit or os.environ.get(VARIABLE)
    if named:
        path = Path(os.path.expanduser(named))
        if path.is_dir() and not (path / FILE_NAME).exists():
            raise InventoryError(
                f"{path}: a directory, expected a file", hint=f"name a file: {path / FILE_NAME}"
            )
        return path / FILE_NAME if path.is_dir() else path
    found = find_inventory(None, None)
    return _configured_file() if found is None or found.cube is not None else found.path


def _configured_file() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.expanduser(config)) / "mlcube-remote" / FILE_NAME


def _named_inventory(named: str, origin: str) -> Path:
    path = Path(os.path.expanduser(named))
    if os.path.exists(path / FILE_NAME):
        path /= FILE_NAME
    if not os.path.exists(path):
        raise InventoryError(
            f"{origin}: {path}: no such file", hint="give the path of an existing inventory"
        )
    return path


def cube_around(path: Path) -> Path | None:
    """Return the closest cube that contains a file or directory, when its links are followed."""
    real = Path(os.path.realpath(path))
    return enclosing_cube(real if real.is_dir() else real.parent)


def enclosing_cube(directory: Path) -> Path | None:
    """Return the closest cube that contains a directory.

    The home directory is no cube: its ``mlcube.yaml`` has the user's settings of MLCube.
    """
    home = Path.home()
    for each in (directory, *directory.parents):
        if each == home:
            return None
        if (each / _CUBE_FILE).exists():
            return each
    return None


def _is_inside(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())
