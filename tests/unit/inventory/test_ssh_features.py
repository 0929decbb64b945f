# SPDX-License-Identifier: Apache-2.0
"""Settings that only OpenSSH can do are found in the output of the real ``ssh -G``."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.inventory.ssh_features import disabled_methods, list_features
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE, query_ssh


@pytest.mark.parametrize(
    ("lines", "features"),
    [
        ("", ()),
        ("Port 22", ()),
        ("HostbasedAuthentication yes", ("HostbasedAuthentication",)),
        ("HostbasedAuthentication no", ()),
        ("PKCS11Provider /usr/lib/x.so", ("PKCS11Provider",)),
        ("PKCS11Provider none", ()),
        ("KnownHostsCommand /bin/true", ("KnownHostsCommand",)),
        ("CertificateFile ~/x-cert.pub", ("CertificateFile",)),
        ("RevokedHostKeys /etc/revoked", ("RevokedHostKeys",)),
        ("VerifyHostKeyDNS yes", ("VerifyHostKeyDNS",)),
        ("VerifyHostKeyDNS ask", ()),
        ("BindAddress 10.0.0.1", ("BindAddress",)),
        ("AddressFamily inet6", ("AddressFamily",)),
        ("ProxyUseFdpass yes", ("ProxyUseFdpass",)),
        ("AddressFamily inet\nCertificateFile x", ("CertificateFile", "AddressFamily")),
    ],
)
def test_features_of_openssh_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, features: tuple[str, ...]
) -> None:
    (tmp_path / "config").write_text(f"Host *\n{lines}\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))

    assert list_features(query_ssh("gpu01", {})) == features


def test_methods_that_are_switched_off_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(
        "Host *\nPubkeyAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))

    found = disabled_methods(query_ssh("gpu01", {}))

    assert found == {"publickey", "keyboard-interactive"}
