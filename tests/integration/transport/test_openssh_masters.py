# SPDX-License-Identifier: Apache-2.0
"""Control masters: ours end with their connection, and the user's own stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.inventory.model import TransportKind
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.transport.control_directory import control_directory
from mlcube_remote.transport.mux import find_master
from tests.support.openssh_logins import authorize, connected, describe, run

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

DOCKER = "docker"


def _masters() -> list[int]:
    """Return the masters whose sockets are in the directory for them."""
    found = [find_master(path) for path in control_directory().iterdir()]
    return [pid for pid in found if pid is not None]


def test_a_master_ends_with_its_connection(ssh_host: HostFactory) -> None:
    before = _masters()

    with connected(describe(ssh_host(DOCKER))) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok
        assert len(_masters()) == len(before) + 1
        assert control_directory().stat().st_mode & 0o777 == 0o700

    assert _masters() == before


def test_there_is_one_login_for_calls_streams_and_rsync(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host(DOCKER, private=True)

    with connected(describe(host)) as connection:
        connection.call("mlcr_print_kind", "/etc")
        connection.stream("mlcr_print_kind", "/etc", sink=lambda _s, _d: None)
        assert connection.rsync(["--", "host:/etc/hostname", str(tmp_path / "name")]).code == 0

    assert host.logins() == 1


_KILLED = """
import os, signal
from pathlib import Path
import attrs
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import TransportKind
from mlcube_remote.transport import connect, openssh_link
openssh_link.PERSIST_S = 2
inventory = load(Path({inventory!r}))
host = attrs.evolve(inventory.hosts[{name!r}], transport=TransportKind.OPENSSH)
connection = connect(host, inventory)
connection.call("mlcr_print_kind", "/")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_master_of_a_killed_client_ends(ssh_host: HostFactory) -> None:
    host = ssh_host(DOCKER)
    before = _masters()
    code = _KILLED.format(inventory=str(host.inventory), name=host.name)

    subprocess.run([sys.executable, "-c", code], check=False)

    assert len(_masters()) == len(before) + 1
    # Asking a master starts its time again.
    time.sleep(5)
    assert _masters() == before


def test_the_users_own_master_is_used_and_stays(
    ssh_host: HostFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = ssh_host(DOCKER, private=True)
    described = attrs.evolve(describe(host), transport=TransportKind.AUTO)
    control = Path("/tmp") / f"mlcr-test-{os.getpid()}"
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n  ControlPath {control}\n  IdentityFile {host.place.identity}\n"
        f"  UserKnownHostsFile {host.place.known_hosts}\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    own = ["ssh", "-F", str(config), "-p", str(host.port), "mlcube@127.0.0.1"]
    run(*own[:3], "-MNf", "-o", "ControlPersist=60", *own[3:])
    try:
        # The key is gone, so that only the open connection is left.
        authorize(host, "")
        notes: list[str] = []
        with connected(described, notes=notes) as connection:
            assert connection.call("mlcr_print_kind", "/etc").ok
            assert connection.rsync(["--", "host:/etc/hostname", str(tmp_path / "n")]).code == 0
        assert notes == ["connecting with OpenSSH: ssh is already connected (ControlMaster)"]
        assert find_master(control) is not None
        assert host.logins() == 1
    finally:
        subprocess.run([*own[:3], "-O", "exit", *own[3:]], check=False, capture_output=True)
