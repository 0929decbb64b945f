# SPDX-License-Identifier: Apache-2.0
"""A host that only an authority's line of known_hosts vouches for is OpenSSH's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from mlcube_remote.errors import HostKeyError
from mlcube_remote.inventory.model import TransportKind
from tests.support.openssh_logins import connected, describe, run

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

AUTHORITY = "/etc/ssh/host-cert.pub"


@pytest.fixture
def certified(ssh_host: HostFactory, tmp_path: Path) -> tuple[SshHost, Path]:
    """Return a host whose key has a certificate, and the authority's key."""
    host = ssh_host("docker", private=True, HostCertificate=AUTHORITY)
    keys = host.place.keys(host.name)
    authority = tmp_path / "ca"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(authority))
    public = keys / "ssh_host_ed25519_key.pub"
    run("ssh-keygen", "-q", "-h", "-s", str(authority), "-I", "id", "-n", "127.0.0.1", str(public))
    certificate = "/run/sandbox/ssh_host_ed25519_key-cert.pub"
    assert host.exec(["cp", certificate, AUTHORITY]).exit_code == 0
    assert host.exec(["sh", "-c", "kill -HUP $(pgrep -o sshd)"]).exit_code == 0
    return host, authority.with_suffix(".pub")


def _signed(authority: Path, marker: str = "@cert-authority") -> str:
    return f"{marker} [127.0.0.1]:* {authority.read_text()}"


def test_a_host_certificate_is_accepted_with_openssh(
    certified: tuple[SshHost, Path], tmp_path: Path
) -> None:
    host, authority = certified
    known = tmp_path / "known_hosts"
    known.write_text(_signed(authority))
    target = attrs.evolve(describe(host, known_hosts=str(known)), transport=TransportKind.AUTO)
    notes: list[str] = []

    with connected(target, notes=notes) as connection:
        assert connection.call("mlcr_print_kind", "/etc").text == "d\n"

    reason = f"{known}:1 names a certificate authority for the host"
    assert notes == [f"connecting with OpenSSH: {reason}"]


def test_a_host_without_the_authority_is_unknown(
    certified: tuple[SshHost, Path], tmp_path: Path
) -> None:
    host, _ = certified
    other = tmp_path / "other"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other))
    known = tmp_path / "known_hosts"
    known.write_text(_signed(other.with_suffix(".pub")))
    target = attrs.evolve(describe(host, known_hosts=str(known)), transport=TransportKind.AUTO)

    with pytest.raises(HostKeyError, match=r"is unknown|No matching CA"), connected(target):
        pass


def test_a_plain_key_next_to_the_authority_is_paramikos(
    certified: tuple[SshHost, Path], tmp_path: Path
) -> None:
    host, authority = certified
    known = tmp_path / "known_hosts"
    known.write_text(_signed(authority) + host.place.known_hosts.read_text())
    target = attrs.evolve(describe(host, known_hosts=str(known)), transport=TransportKind.AUTO)
    notes: list[str] = []

    with connected(target, notes=notes) as connection:
        assert connection.call("mlcr_print_kind", "/etc").ok

    assert notes == []
