# SPDX-License-Identifier: Apache-2.0
"""A known_hosts file is judged by what it is, whatever its name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import Host
from mlcube_remote.inventory.paths import describe_special_file
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE, resolve

SPECIAL = {
    "/dev/null": "a device",
    "//dev/null": "a device",
    "///dev//null": "a device",
    "/dev/./null": "a device",
    "/tmp/../dev/null": "a device",
    "/proc/self/root/dev/null": "a device",
    "/dev/zero": "a device",
    "/dev/full": "a device",
    "{folder}/link": "a device",
    "{folder}/linked/null": "a device",
    "{folder}/link-to-link": "a device",
    "{folder}/pipe": "a pipe",
    "{folder}/socket": "a socket",
    "{folder}": "a directory",
    "~/link": "a device",
    "%d/link": "a device",
    "link": "a device",
    "sub/../link": "a device",
}
"""Spelling → what it is. Relative paths start at the inventory's directory."""

USABLE = ("{folder}/file", "{folder}/link-to-file", "{folder}/new", "{folder}/dangling", "~/file")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "link-to-link").symlink_to(tmp_path / "link")
    (tmp_path / "linked").symlink_to("/dev")
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link-to-file").symlink_to("file")
    (tmp_path / "dangling").symlink_to("later")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # A socket's path has a maximum length, so it is relative.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        yield tmp_path


def _load(folder: Path, spelling: str) -> Host:
    inventory = folder / "hosts.yaml"
    inventory.write_text(f"hosts: {{a: {{known_hosts: '{spelling}'}}}}\n")
    return load(inventory).hosts["a"]


@pytest.mark.parametrize(("spelling", "kind"), SPECIAL.items())
def test_the_inventory_refuses_what_keeps_no_keys(folder: Path, spelling: str, kind: str) -> None:
    path = spelling.format(folder=folder)

    with pytest.raises(InventoryError, match=rf"hosts\.yaml:1:13: a: known_hosts: .* is {kind}"):
        _load(folder, path)


@pytest.mark.parametrize("word", ["none", "NONE", "None"])
def test_the_inventory_cannot_go_without_known_hosts(folder: Path, word: str) -> None:
    with pytest.raises(InventoryError, match="expected a file that keeps host keys"):
        _load(folder, word)


@pytest.mark.parametrize("spelling", USABLE)
def test_a_file_that_exists_or_can_be_made_is_usable(folder: Path, spelling: str) -> None:
    assert _load(folder, spelling.format(folder=folder)).known_hosts
    assert describe_special_file(os.path.expanduser(spelling.format(folder=folder))) is None


@pytest.mark.parametrize("word", ["none", "NONE"])
def test_none_in_ssh_config_is_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    (folder / "config").write_text(f"Host s\n  UserKnownHostsFile {word}\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(folder / "config"))

    endpoint = resolve(Host(name="s"), load(_empty_inventory(folder)))

    assert endpoint.user_known_hosts_files == ()


def _empty_inventory(folder: Path) -> Path:
    path = folder / "empty.yaml"
    path.write_text("hosts: {}\n")
    return path
