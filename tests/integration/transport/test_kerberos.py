# SPDX-License-Identifier: Apache-2.0
"""Kerberos from end to end: a KDC, a host with a keytab, and a user with a ticket."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from tests.support.command_line import run
from tests.support.kerberos import Realm, running_realm
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

USER = "mlcube"


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    with running_realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add(USER)
        yield realm


@pytest.fixture(scope="module")
def server(ssh_host: HostFactory, realm: Realm) -> SshHost:
    """Return a host that knows the realm. Its users call it localhost, as it calls itself not."""
    host = ssh_host("docker", GSSAPIAuthentication="yes", GSSAPIStrictAcceptorCheck="no")
    keys = host.place.keys(host.name)
    (keys / "krb5.keytab").write_bytes(realm.add("host/localhost").read_bytes())
    (keys / "krb5.conf").write_bytes(realm.settings.read_bytes())
    for name, mode in (("krb5.keytab", "0600"), ("krb5.conf", "0644")):
        assert host.exec(["install", "-m", mode, f"/run/sandbox/{name}", "/etc"]).exit_code == 0
    return host


@pytest.fixture(autouse=True)
def _user(realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests be run by a user of the realm."""
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "ssh_config"
    config.write_text("Host *\n  GSSAPIAuthentication yes\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))


def _inventory(server: SshHost, folder: Path, **more: object) -> Path:
    """Write an inventory in which the host has its name of the realm, and there is no key."""
    known = folder / "known_hosts"
    key = server.place.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"[localhost]:{server.port} {key}")
    document = yaml.safe_load(server.inventory.read_text())
    document["hosts"][server.name] |= {
        "address": "localhost",
        "identity_file": str(folder / "none"),
        "known_hosts": str(known),
        **more,
    }
    path = folder / "hosts.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_cube_runs_with_a_ticket(
    realm: Realm, server: SshHost, copy_cube: Path, tmp_path: Path
) -> None:
    realm.get_ticket(USER)

    done = run(_inventory(server, tmp_path), copy_cube, f"--host={server.name}", "--task=copy")

    assert done.returncode == 0, done.stderr
    assert b"connecting with OpenSSH: there is a Kerberos ticket" in done.stderr
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    logs = b"".join(server.container.get_logs())
    assert b"Accepted gssapi-with-mic for mlcube" in logs


@pytest.mark.parametrize("transport", ["auto", "openssh"])
def test_an_expired_ticket_is_named(
    realm: Realm, server: SshHost, tmp_path: Path, transport: str
) -> None:
    inventory = _inventory(server, tmp_path, transport=transport)
    realm.get_ticket(USER, "-l", "1s")
    wait_for(lambda: not realm.has_valid_ticket())
    # Kerberos counts whole seconds, and its programs differ about the last one.
    time.sleep(2)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "mlcube_remote", "hosts", "check", server.name),
            f"--inventory={inventory}",
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 120
    assert b"login as mlcube refused" in done.stdout
    assert b"your Kerberos ticket has expired; get a new one: kinit" in done.stdout
