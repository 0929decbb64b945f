# SPDX-License-Identifier: Apache-2.0
"""Which inventory is read, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.locate import FoundInventory, find_inventory


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("here", "cube/sub"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "cube" / "mlcube.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def write(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "hosts.yaml"
    path.write_text("hosts: {a: {}}")
    return path


def test_the_users_own_inventories_come_before_that_of_the_cube(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = place / "cube"
    assert find_inventory(None, cube) is None
    own_file = write(cube)
    assert find_inventory(None, cube) == FoundInventory(path=own_file, cube=cube)
    assert find_inventory(None, None) is None, "no cube is named"
    configured = write(place / "config" / "mlcube-remote")
    assert find_inventory(None, cube) == FoundInventory(path=configured)
    write(place / "here")
    assert find_inventory(None, cube) == FoundInventory(path=Path("hosts.yaml"))
    in_variable = write(place / "env")
    monkeypatch.setenv("MLCUBE_REMOTE_INVENTORY", str(in_variable))
    assert find_inventory(None, cube) == FoundInventory(path=in_variable)
    assert find_inventory(str(cube), cube) == FoundInventory(path=own_file), "the user names it"
    with pytest.raises(InventoryError, match=r"--inventory: .*nowhere\.yaml: no such file"):
        find_inventory("nowhere.yaml", cube)


@pytest.mark.parametrize("folder", ["cube", "cube/sub"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_file_in_the_working_directory_belongs_to_the_cube_around_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_named: bool
) -> None:
    cube, own_file = place / "cube", write(place / "cube")
    write(place / "cube" / "sub")
    (place / "link").symlink_to(cube, target_is_directory=True)
    monkeypatch.chdir(place / folder)
    assert find_inventory(None, cube if is_named else None) == FoundInventory(
        path=own_file, cube=cube
    )
    through_link = find_inventory(None, place / "link")
    assert through_link is not None
    assert through_link.cube is not None


def test_the_home_directory_is_not_a_cube(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLCube keeps the user's settings in ``~/mlcube.yaml``."""
    write(place / "home")
    write(place / "home" / "work")
    (place / "home" / "mlcube.yaml").write_text("")
    for folder in ("home", "home/work"):
        monkeypatch.chdir(place / folder)
        assert find_inventory(None, place / "cube") == FoundInventory(path=Path("hosts.yaml"))


@pytest.mark.parametrize("named", ["~no-such-user/hosts.yaml", "x" * 5000, "a\0b"])
def test_impossible_paths_do_not_exist(tmp_path: Path, named: str) -> None:
    with pytest.raises(InventoryError, match="no such file"):
        find_inventory(named, tmp_path)
