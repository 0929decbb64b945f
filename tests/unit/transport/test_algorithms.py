# SPDX-License-Identifier: Apache-2.0
"""Connections use what OpenSSH 9 offers by default, and less if ssh_config says so."""

from __future__ import annotations

import paramiko
import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport.algorithms import OFFERED, select_algorithms
from tests.support.ssh_server import Lab, Serve

GIVEN_UP = {
    "ciphers": ("aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"),
    "macs": ("hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96"),
    "kexalgorithms": ("diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1"),
    "hostkeyalgorithms": ("ssh-rsa", "ssh-dss"),
    "pubkeyacceptedalgorithms": ("ssh-rsa", "ssh-dss"),
}


@pytest.mark.parametrize("option", OFFERED)
def test_nothing_that_openssh_gave_up_is_offered(option: str) -> None:
    assert set(OFFERED[option]).isdisjoint(GIVEN_UP[option])
    # Not even if ssh_config allows it: then the connection is OpenSSH's.
    assert set(select_algorithms(option, GIVEN_UP[option])) == set()


def test_the_server_receives_these_offers(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])

    opened = lab.log_in(server, HostKeys.ACCEPT_NEW)

    offered = opened.transport._get_latest_kex_init()  # type: ignore[attr-defined]
    opened.close()
    assert offered["client_encrypt_algo_list"] == list(OFFERED["ciphers"])
    assert offered["server_encrypt_algo_list"] == list(OFFERED["ciphers"])
    assert offered["client_mac_algo_list"] == list(OFFERED["macs"])
    keys = [name.removesuffix("-cert-v01@openssh.com") for name in offered["server_key_algo_list"]]
    assert set(keys) == set(OFFERED["hostkeyalgorithms"])
    kex = [name for name in offered["kex_algo_list"] if not name.startswith(("ext-", "kex-st"))]
    assert set(kex) <= set(OFFERED["kexalgorithms"])
    assert kex[-3:] == list(OFFERED["kexalgorithms"][-3:])


@pytest.mark.parametrize(
    ("option", "allowed", "expected"),
    [
        ("ciphers", ("aes256-ctr", "chacha20-poly1305@openssh.com"), ("aes256-ctr",)),
        ("kexalgorithms", ("curve25519-sha256",), ("curve25519-sha256@libssh.org",)),
        ("hostkeyalgorithms", ("ssh-ed25519-cert-v01@openssh.com",), ("ssh-ed25519",)),
        ("macs", (), OFFERED["macs"]),
    ],
)
def test_ssh_config_restricts_the_offer(
    option: str, allowed: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert select_algorithms(option, allowed) == expected


def test_the_restriction_reaches_the_wire(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])

    opened = lab.log_in(
        server, HostKeys.ACCEPT_NEW, algorithms={"ciphers": ("aes256-ctr",), "macs": ()}
    )

    assert opened.transport.local_cipher == "aes256-ctr"
    opened.close()


def test_a_list_of_ssh_config_without_a_usable_algorithm_is_reported(
    lab: Lab, serve: Serve
) -> None:
    with pytest.raises(UnreachableError, match="ciphers of ssh_config has none of aes128-gcm@"):
        lab.log_in(serve(), algorithms={"ciphers": ("aes128-cbc",)})


@pytest.mark.parametrize(
    ("attribute", "old", "words"),
    [
        ("ciphers", ("aes128-cbc", "3des-cbc"), "its ciphers are aes128-cbc, 3des-cbc; expected"),
        ("digests", ("hmac-md5", "hmac-sha1"), "its MACs are hmac-md5, hmac-sha1; expected one"),
    ],
)
def test_a_server_with_only_old_algorithms_is_named(
    lab: Lab,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    old: tuple[str, ...],
    words: str,
) -> None:
    start_server = paramiko.Transport.start_server

    def start(self: paramiko.Transport, **more: object) -> None:
        options = self.get_security_options()
        # AES-GCM needs no MAC, but the lists must have a common name all the same.
        setattr(options, attribute, old)
        start_server(self, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(paramiko.Transport, "start_server", start)

    with pytest.raises(UnreachableError, match=words) as caught:
        lab.log_in(serve())

    assert caught.value.exit_code == 120
    assert "transport: openssh" in (caught.value.hint or "")
