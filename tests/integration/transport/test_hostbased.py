# SPDX-License-Identifier: Apache-2.0
"""Hostbased logins: the host trusts this machine, whose ssh-keysign signs for its users."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from tests.support.one_time_codes import PROGRAM
from tests.support.openssh_logins import run

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

_IN_NAMESPACE = 'mount --bind "$0" /etc/ssh && exec "$@"'
"""Give a command its own /etc/ssh: the only place that ssh-keysign reads."""


def _trust_this_machine(host: SshHost, settings: Path) -> None:
    """Make this machine's host key, and let the host know it."""
    key = settings / "ssh_host_ed25519_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    (settings / "ssh_config").write_text("EnableSSHKeysign yes\n")
    # What ssh calls this machine depends on its name service.
    names = {"localhost", socket.gethostname(), socket.getfqdn()}
    user = getpass.getuser()
    public = " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])
    keys = host.place.keys(host.name)
    (keys / "shosts.equiv").write_text("".join(f"{name} {user}\n" for name in names))
    (keys / "ssh_known_hosts").write_text(f"{','.join(names)} {public}\n")
    for name in ("shosts.equiv", "ssh_known_hosts"):
        done = host.exec(["install", "-m", "0644", f"/run/sandbox/{name}", "/etc/ssh"])
        assert done.exit_code == 0


def test_a_machine_that_the_host_trusts_logs_in(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("docker", HostbasedAuthentication="yes", HostbasedUsesNameFromPacketOnly="yes")
    settings = tmp_path / "ssh"
    settings.mkdir()
    _trust_this_machine(host, settings)
    config = tmp_path / "config"
    config.write_text("Host *\n  HostbasedAuthentication yes\n")
    written = yaml.safe_load(host.inventory.read_text())
    written["hosts"][host.name]["identity_file"] = str(tmp_path / "none")
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(written))

    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", _IN_NAMESPACE, str(settings)),
            *(*PROGRAM, "hosts", "check", host.name, f"--inventory={inventory}"),
        ],
        env={**os.environ, CONFIG_VARIABLE: str(config)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, (done.stdout, done.stderr, host.container.get_logs())
    assert b"Accepted hostbased for mlcube" in b"".join(host.container.get_logs())
