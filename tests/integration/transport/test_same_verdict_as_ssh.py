# SPDX-License-Identifier: Apache-2.0
"""A login succeeds exactly if ``ssh`` logs in: a table of keys, certificates, agents and settings.

The other side is a real sshd. It accepts certificates of one authority, and in half of the cases
the plain key.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.errors import ConnectError
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE
from mlcube_remote.transport import connect
from tests.support.login_cases import CASES, Folder, run

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost


@pytest.fixture(scope="module")
def server(ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory) -> tuple[SshHost, Path]:
    """Return a host, and the key of the authority that it trusts."""
    host = ssh_host("docker", private=True, TrustedUserCAKeys="/etc/ssh/user_ca.pub")
    authority = tmp_path_factory.mktemp("authority") / "ca"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", authority)
    public = authority.with_name("ca.pub").read_text()
    (host.place.keys(host.name) / "user_ca.pub").write_text(public)
    assert host.exec(["cp", "/run/sandbox/user_ca.pub", "/etc/ssh/user_ca.pub"]).exit_code == 0
    return host, authority


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True)
    found = dict(re.findall(r"(SSH_\w+)=([^;]+);", started.stdout))
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    yield
    subprocess.run(["ssh-agent", "-k"], check=False, capture_output=True)


MORE_THAN_SSH = ("key with Windows line ends",)
"""Logins that succeed although ``ssh`` refuses the file."""

_WITH_AGENT = ("agent", "Agent", "public key as identity")


def _ssh_logs_in(config: Path) -> bool:
    done = subprocess.run(
        ["ssh", "-F", str(config), "-o", "BatchMode=yes", "target", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode == 0


def _logs_in(notes: list[str]) -> bool:
    host = Host(name="target")
    inventory = Inventory(hosts={host.name: host}, groups={})
    try:
        with contextlib.closing(connect(host, inventory, note=notes.append)) as connection:
            return connection.call("mlcr_print_kind", "/etc").text == "d\n"
    except ConnectError:
        return False


def _needs_agent(name: str) -> bool:
    return any(word in name for word in _WITH_AGENT)


def _table() -> Iterator[object]:
    """Give each case to a host that accepts plain keys, and those for it to one that does not."""
    for name in CASES:
        yield pytest.param(name, True, id=f"{name}-plain")
        if _needs_agent(name) or "certificate" in name.lower():
            yield pytest.param(name, False, id=f"{name}-certificates-only")


@pytest.mark.parametrize(("name", "accepts_plain"), list(_table()))
def test_the_verdict_is_that_of_ssh(
    request: pytest.FixtureRequest,
    server: tuple[SshHost, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    accepts_plain: bool,
) -> None:
    if _needs_agent(name):
        request.getfixturevalue("agent")
    host, authority = server
    folder = Folder(tmp_path / "keys", authority)
    folder.path.mkdir()
    lines = CASES[name](folder).format(folder=folder.path)
    public = folder.path / "public"
    _accept(host, folder, public, accepts_plain=accepts_plain)
    config = tmp_path / "config"
    identity = "" if "IdentityFile" in lines else f"  IdentityFile {folder.key}\n"
    config.write_text(
        f"Host target\n  HostName 127.0.0.1\n  Port {host.port}\n{lines}{identity}  User mlcube\n"
        f"  UserKnownHostsFile {host.place.known_hosts}\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    notes: list[str] = []

    with_ssh = _ssh_logs_in(config)
    assert (_logs_in(notes), notes) == (with_ssh or name in MORE_THAN_SSH, notes)


def _accept(host: SshHost, folder: Folder, public: Path, *, accepts_plain: bool) -> None:
    """Let the host accept the plain key of a case, or none."""
    text = ""
    if accepts_plain:
        keys = [folder.key, folder.path / "my key", folder.path / "elsewhere"]
        for key in keys:
            file = key.with_name(key.name + ".pub")
            if file.is_file() and file.read_bytes().startswith((b"ssh-", b"ecdsa-")):
                text += file.read_text(errors="replace")
    public.write_text(text)
    (host.place.keys(host.name) / "authorized_keys").write_text(text)
    assert (
        host.exec(["cp", "/run/sandbox/authorized_keys", "/etc/ssh/authorized_keys"]).exit_code == 0
    )
