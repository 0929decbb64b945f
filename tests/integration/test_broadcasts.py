# SPDX-License-Identifier: Apache-2.0
"""One task on many machines at once, as easy to read and as safe as on one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import yaml

from mlcube_remote.sandbox import LABEL, Sandbox, up
from mlcube_remote.sandbox.engine import docker
from tests.support.command_line import run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

MANY = 16
WHO = shell_task(
    'cat "${0#*=}" "${1#*=}" >"${2#*=}"; echo done',
    inputs={
        "text": {**FILE, "default": "in.txt"},
        "who": {**FILE, "default": "who"},
    },
    outputs={"made": {**FILE, "default": "made.txt"}},
)


OWN = "who=~/site/who"
"""A file that each host has."""


@attrs.frozen(kw_only=True)
class Fleet:
    """Many hosts that are reached through one."""

    sandbox: Sandbox
    inventory: Path
    cube: Path

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.sandbox.hosts]

    def power_off(self, name: str) -> None:
        docker("kill", _containers(self.sandbox)[name][0])


def _containers(sandbox: Sandbox) -> dict[str, tuple[str, str]]:
    """Return host → its container, and where that is in the engine's network."""
    ids = docker("ps", "--quiet", "--filter", f"label={LABEL}={sandbox.id}").split()
    shown = "{{.Config.Hostname}} {{.Id}} {{.NetworkSettings.IPAddress}}"
    lines = docker("inspect", "--format", shown, *ids).splitlines()
    return {name: (identity, address) for name, identity, address in map(str.split, lines)}


@pytest.fixture
def fleet(sandbox_folder: Path, ssh_host: HostFactory, tmp_path: Path) -> Fleet:
    gate = ssh_host("docker")
    sandbox = up(MANY, state_dir=sandbox_folder)
    listed: dict[str, Any] = yaml.safe_load(sandbox.inventory.read_text())["hosts"]
    containers = _containers(sandbox)
    known_hosts = tmp_path / "known_hosts"
    keys = (sandbox_folder / "known_hosts").read_text()
    for host in sandbox.hosts:
        address = containers[host.name][1]
        keys = keys.replace(f"[127.0.0.1]:{host.port} ", f"{address} ")
        progress = {"address": address, "port": 22, "jump": gate.name}
        listed[host.name] |= {**progress, "known_hosts": str(known_hosts)}
        (host.home / "site").mkdir()
        (host.home / "site/who").write_text(f"{host.name}\n")
    known_hosts.write_text(keys)
    listed |= yaml.safe_load(gate.inventory.read_text())["hosts"]
    inventory = tmp_path / "fleet.yaml"
    groups = {"fleet": [host.name for host in sandbox.hosts]}
    inventory.write_text(yaml.safe_dump({"hosts": listed, "groups": groups}))
    cube = write_cube(tmp_path / "cube", {"who": WHO})
    (cube / "workspace/in.txt").write_text("hello ")
    return Fleet(sandbox=sandbox, inventory=inventory, cube=cube)


def test_sixteen_hosts_behind_one_each_do_it_once(fleet: Fleet) -> None:
    done = run(fleet.inventory, fleet.cube, "--host=fleet", OWN, "--output=json")
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads(done.stdout)
    assert {job["host"]: job["status"] for job in document["jobs"]} == dict.fromkeys(
        fleet.names, "succeeded"
    )
    folder = fleet.cube / "results" / document["run"]
    made = {path.parent.name: path.read_text() for path in folder.glob("*/made.txt")}
    assert made == {name: f"hello {name}\n" for name in fleet.names}

    (off, *_) = fleet.names
    fleet.power_off(off)
    left_out = run(fleet.inventory, fleet.cube, "--host=fleet", OWN, "--gather")
    said = left_out.stderr.decode()
    assert left_out.returncode == 120, said
    assert f"1 host failed: {off}\n" in said
    assert f"{MANY - 1} of {MANY} succeeded" in said
    assert said.count(": pull: 1 file") == MANY - 1
    assert left_out.stdout.count(b"done\n") == 1, "what they say alike is said once"
