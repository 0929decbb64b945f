# SPDX-License-Identifier: Apache-2.0
"""Which inventory is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.locate import open_inventory


def test_inventories_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: str, host: str) -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        path = tmp_path / folder / "hosts.yaml"
        path.write_text(f"hosts: {{{host}: {{}}}}")
        return path

    def found() -> str:
        return next(iter(open_inventory(None, tmp_path / "cube").hosts))

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert found() == "local"
    write("config/mlcube-remote", "configured")
    assert found() == "configured"
    write("cube", "beside")
    assert found() == "beside"
    write("here", "here")
    assert found() == "here"
    monkeypatch.setenv("MLCUBE_REMOTE_INVENTORY", str(write("env", "env")))
    assert found() == "env"
    explicit = write("explicit", "explicit")
    assert "explicit" in open_inventory(str(explicit.parent), tmp_path).hosts
    with pytest.raises(InventoryError, match=r"--inventory: .*nowhere\.yaml: no such file"):
        open_inventory("nowhere.yaml", tmp_path)


@pytest.mark.parametrize("named", ["~no-such-user/hosts.yaml", "x" * 5000, "a\0b"])
def test_impossible_paths_do_not_exist(tmp_path: Path, named: str) -> None:
    with pytest.raises(InventoryError, match="no such file"):
        open_inventory(named, tmp_path)
