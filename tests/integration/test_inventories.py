# SPDX-License-Identifier: Apache-2.0
"""A host is reached by the inventories that people have: those of Ansible, and programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.command_line import run
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

Keys = dict[str, Any]


def ini(folder: Path, keys: Keys, own: Keys) -> Path:
    path = folder / "lab.ini"
    path.write_text(
        f"[gpu]\nnode[1:2] ansible_host={keys['address']} ansible_port={keys['port']}  # two\n"
        "[train:children]\ngpu\n"
        f"[all:vars]\nansible_user={keys['user']}\n"
        f"ansible_ssh_private_key_file={keys['identity_file']}\n"
        f"ansible_python_interpreter=/usr/bin/python3\nansible_become=true\n"
        f"mlcube_remote={json.dumps(own)}\n"
    )
    return path


def ansible_yaml(folder: Path, keys: Keys, own: Keys) -> Path:
    variables = {
        "ansible_host": keys["address"],
        "ansible_port": keys["port"],
        "ansible_user": keys["user"],
        "ansible_private_key_file": keys["identity_file"],
        "mlcube_remote": own,
    }
    path = folder / "lab.yml"
    group = {"hosts": {"node[1:2]": None}, "vars": variables}
    path.write_text(yaml.safe_dump({"all": {"children": {"train": {"children": {"gpu": group}}}}}))
    return path


def program(folder: Path, keys: Keys, own: Keys) -> Path:
    path = folder / "list_hosts"
    document = {
        "defaults": {**keys, **own},
        "hosts": {"node[1-2]": {}},
        "groups": {"train": "node[1-2]"},
    }
    path.write_text(f"#!/bin/sh\n[ $1 = --list ] && cat <<'X'\n{json.dumps(document)}\nX\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("write", [ini, ansible_yaml, program])
def test_a_task_runs_on_a_group_of_another_inventory(
    ssh_host: HostFactory, tmp_path: Path, write: Callable[[Path, Keys, Keys], Path]
) -> None:
    host = ssh_host()
    (keys,) = yaml.safe_load(host.inventory.read_text())["hosts"].values()
    known = {key: keys[key] for key in ("address", "port", "user", "identity_file")}
    own = {key: value for key, value in keys.items() if key not in known}
    folder = tmp_path / "inventory"
    folder.mkdir()
    cube = write_cube(tmp_path / "cube", {"hello": shell_task("echo hello")})
    done = run(write(folder, known, own), cube, "--host=train,!node2", "--task=hello")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"hello\n"
    assert b"node1: run hello: exit code 0" in done.stderr
    notes = [line for line in done.stderr.decode().splitlines() if line.startswith("warning: ")]
    unused = "warning: lab.ini: variables not used: ansible_become"
    assert [note.replace(f"{folder}/", "") for note in notes] == ([unused] if write is ini else [])
