# SPDX-License-Identifier: Apache-2.0
"""Inventories that programs print: which program runs, and that a cube's needs the user's trust."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from mlcube_remote.app import trust
from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.cli.main import run
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.trust.requests import FULL_TRUST

ANSIBLE = {
    "_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1", "ansible_become": True}}},
    "web": {"hosts": ["web1"]},
}
OWN = {"defaults": {"user": "ada"}, "hosts": {"n[1-2]": {"slots": 2}}, "groups": {"all2": "n[1-2]"}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that is no cube; ansible-inventory is not installed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MLCUBE_REMOTE_INVENTORY", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def program(path: Path, document: object = None, *, script: str = "") -> Path:
    """Write a program that prints a document, or runs a script."""
    text = script or "\n".join(("cat <<'X'", json.dumps(document), "X"))
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def install_ansible(home: Path, document: object) -> Path:
    """Install an ansible-inventory that prints a document, and records how it was called."""
    log = home.parent / "calls"
    answer = json.dumps(document)
    script = f"echo \"$PWD $*\" >>{log}\ncat <<'X'\n{answer}\nX"
    program(home.parent / "bin" / "ansible-inventory", script=script)
    return log


def make_cube(home: Path) -> Path:
    cube = home.parent / "cube"
    cube.mkdir()
    (cube / "mlcube.yaml").write_text("docker: {image: x}\ntasks: {t: {}}\n")
    return cube


def test_a_program_prints_ansibles_form_or_that_of_hosts_yaml(home: Path) -> None:
    found = open_inventory(str(program(home / "web.py", ANSIBLE)))
    assert found.hosts["web1"].address == "10.0.0.1"
    assert found.notes == ("web.py: variables not used: ansible_become",)
    assert found.path == home / "web.py"
    own = open_inventory(str(program(home / "own", OWN)))
    assert own.hosts["n2"].slots == 2
    assert (own.hosts["n2"].user, own.notes) == ("ada", ())


def test_a_program_is_called_with_list_in_its_directory(home: Path) -> None:
    (home / "data").write_text('{"hosts": {"a": {}}}')
    path = program(home / "list.sh", script='[ "$*" = --list ] && cat data')
    os.chdir("/")
    assert "a" in open_inventory(str(path)).hosts


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo no login >&2; exit 3", "p: failed with exit code 3: no login"),
        ("printf '\\033[2J' >&2; exit 1", r"exit code 1: \x1b[2J"),
        ("echo hello", "p: expected a JSON document on standard output"),
        ("echo '[1]'", "p: expected a JSON object"),
        ("echo '{}'", "p: lists no host"),
        ('echo \'{"hosts": {"a": {"adress": 1}}}\'', "a: unknown key 'adress'"),
        ("kill -9 $$", "p: failed with exit code -9"),
    ],
)
def test_a_program_that_fails_is_an_error_of_the_user(
    home: Path, script: str, problem: str
) -> None:
    with pytest.raises(InventoryError) as caught:
        open_inventory(str(program(home / "p", script=script)))
    assert problem in str(caught.value)


def test_an_executable_mark_alone_is_no_program(home: Path) -> None:
    (home / "hosts.yaml").write_text("hosts: {a: {}}")
    (home / "hosts.yaml").chmod(0o755)
    assert "a" in open_inventory(None).hosts


def test_ansible_reads_its_files_where_it_is_installed(home: Path) -> None:
    folder = home / "inventory"
    folder.mkdir()
    (folder / "hosts.ini").write_text("[web]\nother\n")
    (folder / "hosts.yml").write_text("web: {hosts: {other: }}\n")
    (folder / "plugin.yaml").write_text("plugin: amazon.aws.aws_ec2\n")
    (folder / "group_vars").mkdir()
    every = [folder / "hosts.ini", folder / "hosts.yml", folder / "plugin.yaml", folder]
    for path in every:
        with pytest.raises(InventoryError) as caught:
            open_inventory(str(path))
        assert "ansible-core" in str(caught.value.hint)
    log = install_ansible(home, ANSIBLE)
    for path in every:
        assert open_inventory(str(path)).hosts["web1"].address == "10.0.0.1"
    assert log.read_text().splitlines() == [f"{folder} -i {path} --list" for path in every]


def test_without_ansible_its_files_are_read_alone(home: Path) -> None:
    (home / "hosts.ini").write_text("[web]\nweb1 ansible_host=10.0.0.1\n")
    (home / "web.yml").write_text("web: {hosts: {web1: {ansible_host: 10.0.0.1}}}\n")
    (home / "recorded.json").write_text(json.dumps(ANSIBLE))
    (home / "hosts").write_text("web1 ansible_host=10.0.0.1\n")
    for name in ("hosts.ini", "web.yml", "recorded.json", "hosts"):
        assert open_inventory(name).hosts["web1"].address == "10.0.0.1", name


def test_a_program_inside_a_cube_needs_trust(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = make_cube(home)
    path = program(cube / "list", script=f"touch {home}/ran; echo '{json.dumps(OWN)}'")
    link = home / "mine"
    link.symlink_to(path)
    for named in (path, link):
        with pytest.raises(InventoryError, match=r"the program (list|mine) runs on this machine"):
            open_inventory(str(named), str(cube))
    assert not (home / "ran").exists()
    assert "n1" in open_inventory(str(path), str(cube), trust=FULL_TRUST).hosts
    with pytest.raises(InventoryError, match="without your trust"):
        open_inventory(str(path), str(home), trust=FULL_TRUST)
    with pytest.raises(InventoryError) as refused:
        open_inventory(str(path), str(cube))
    command = str(refused.value.hint).removeprefix("review and allow it: ")
    assert run([*shlex.split(command)[1:], "--yes"]) == 0
    assert "the program list" in capsys.readouterr().out
    assert "n1" in open_inventory(str(path), str(cube)).hosts
    program(path, {"hosts": {"other": {}}})
    with pytest.raises(InventoryError, match="without your trust"):
        open_inventory(str(path), str(cube))
    with pytest.raises(UsageError, match="is not inside the cube"):
        trust.review(CubeOptions(path=str(cube)), str(home / "none"))


def test_the_hosts_yaml_of_a_cube_may_be_a_program(home: Path) -> None:
    cube = make_cube(home)
    program(cube / "hosts.yaml", {"hosts": {"n1": {"env": ["TOKEN"]}}})
    with pytest.raises(InventoryError, match=r"hosts\.yaml runs on this machine"):
        open_inventory(None, str(cube))
    options = CubeOptions(path=str(cube))
    trust.allow(trust.review(options))
    with pytest.raises(InventoryError, match="without your trust: host n1: env: TOKEN"):
        open_inventory(None, str(cube))


def test_ansible_is_not_run_for_a_cube_without_trust(home: Path) -> None:
    cube = make_cube(home)
    log = install_ansible(home, ANSIBLE)
    (cube / "hosts.ini").write_text("web9\n")
    (cube / "plugin.yaml").write_text("plugin: x\n")
    assert "web9" in open_inventory(str(cube / "hosts.ini")).hosts, "read without ansible-inventory"
    for path in (cube / "plugin.yaml", cube):
        with pytest.raises(InventoryError, match="may run programs of the cube"):
            open_inventory(str(path))
    assert not log.exists()
    options = CubeOptions(path=str(cube))
    trust.allow(trust.review(options, str(cube / "plugin.yaml")))
    assert "web1" in open_inventory(str(cube / "plugin.yaml")).hosts


def test_what_is_not_used_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = program(home / "web.py", ANSIBLE)
    assert run(["hosts", "list", "--inventory", str(path)]) == 0
    assert "warning: web.py: variables not used: ansible_become" in capsys.readouterr().err


def test_the_hint_for_an_unknown_host_key_has_the_form_of_the_inventory(home: Path) -> None:
    (home / "hosts.ini").write_text("[web]\nweb1 ansible_host=10.0.0.1\n")
    (home / "web.yml").write_text("web: {hosts: {web1: {ansible_host: 10.0.0.1}}}\n")
    (home / "hosts.yaml").write_text("hosts: {web1: {address: 10.0.0.1}}\n")
    program(home / "list.py", {"hosts": {"web1": {"address": "10.0.0.1"}}})
    settings = {}
    for name in ("hosts.ini", "web.yml", "hosts.yaml", "list.py"):
        inventory = open_inventory(name)
        endpoint = resolve(inventory.hosts["web1"], inventory)
        settings[name] = endpoint.trust_setting
    assert settings == {
        "hosts.ini": '`mlcube_remote={"host_keys": "accept-new"}` under `[all:vars]` in hosts.ini',
        "web.yml": "the variable `mlcube_remote: {host_keys: accept-new}` in web.yml",
        "hosts.yaml": "`host_keys: accept-new` under `defaults:` in hosts.yaml",
        "list.py": "`host_keys: accept-new` under `defaults:` of what list.py prints",
    }
    with (home / "hosts.ini").open("a") as file:
        file.write('[all:vars]\nmlcube_remote={"host_keys": "accept-new"}\n')
    assert open_inventory("hosts.ini").hosts["web1"].host_keys is HostKeys.ACCEPT_NEW


def test_a_program_that_is_not_executable_is_no_list_of_hosts(home: Path) -> None:
    program(home / "list hosts.py", OWN).chmod(0o644)
    with pytest.raises(InventoryError, match="is a program, and is not executable") as caught:
        open_inventory("list hosts.py")
    assert caught.value.hint == "if it lists hosts: chmod +x 'list hosts.py'"


def test_an_unknown_host_is_not_in_the_file_that_was_named(home: Path) -> None:
    (home / "lab.ini").write_text("[web]\nweb1 ansible_host=10.0.0.1\n")
    with pytest.raises(InventoryError, match=r"'web2' is not in lab\.ini or ~/.ssh/config"):
        select_hosts(open_inventory("lab.ini"), ["web2"])


def test_what_ansible_cannot_read_has_a_hint_to_its_reason(home: Path) -> None:
    install_ansible(home, {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}})
    (home / "lab.ini").write_text("[web]\na b=1 ; comment\n")
    with pytest.raises(InventoryError, match="ansible-inventory finds no host in it") as caught:
        open_inventory("lab.ini")
    assert caught.value.hint == "it says why: ansible-inventory --list -i lab.ini"
