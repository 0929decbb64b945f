# SPDX-License-Identifier: Apache-2.0
"""``ps`` asks the hosts of earlier runs, until the user has them forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support.command_line import again, run
from tests.support.cubes import shell_task, write_cube
from tests.support.hosts import HostFactory


def test_a_host_that_is_in_no_inventory_is_asked_until_it_is_forgotten(
    ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    host = ssh_host("docker")
    (keys,) = yaml.safe_load(host.inventory.read_text())["hosts"].values()
    (tmp_path / "ssh_config").write_text(
        f"Host box\n  HostName {keys['address']}\n  Port {keys['port']}\n  User {keys['user']}\n"
        f"  IdentityFile {keys['identity_file']}\n  UserKnownHostsFile {keys['known_hosts']}\n"
    )
    monkeypatch.setenv("MLCUBE_REMOTE_SSH_CONFIG", str(tmp_path / "ssh_config"))
    cube = write_cube(tmp_path / "cube", {"say": shell_task("echo said", outputs={})})
    empty = tmp_path / "hosts.yaml"
    empty.write_text("hosts: {}\n")

    def asked() -> dict[str, int]:
        """Return the hosts that ps asks, and how many jobs each has."""
        listed = again("ps", "--all", f"--inventory={empty}", "--output=json")
        if listed.returncode == 2:
            assert b"no host to ask" in listed.stderr
            return {}
        assert listed.returncode == 0, listed.stderr.decode()
        hosts = json.loads(listed.stdout)["hosts"]
        return {each["host"]: len(each["jobs"]) for each in hosts if each["host"] != "local"}

    assert asked() == {}
    assert run(empty, cube, "--host=box", "--task=say").returncode == 0
    assert list(asked()) == ["box"]
    assert asked()["box"] >= 1
    forgotten = again("hosts", "forget", "box", f"--inventory={empty}")
    assert forgotten.returncode == 0, forgotten.stderr.decode()
    assert asked() == {}
    assert run(empty, cube, "--host=box", "--task=say").returncode == 0
    assert list(asked()) == ["box"], "a new run makes it known again"
