# SPDX-License-Identifier: Apache-2.0
"""The algorithms that a connection may use: those that OpenSSH 9 offers by default.

Without those of Paramiko that OpenSSH gave up (CBC, 3DES, MD5), and without SHA-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import paramiko

_SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

OFFERED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # AES-GCM first: a third faster than the others, because it needs no MAC.
        "ciphers": (
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes192-ctr",
            "aes256-ctr",
        ),
        "macs": (
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256",
            "hmac-sha2-512",
        ),
        "kexalgorithms": (
            "mlkem768x25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group-exchange-sha256",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group14-sha256",
        ),
        "hostkeyalgorithms": _SIGNATURES,
        "pubkeyacceptedalgorithms": _SIGNATURES,
    }
)
"""Option of ssh_config in lower case → algorithms, the preferred one first."""

_ALIASES = {"curve25519-sha256@libssh.org": "curve25519-sha256"}
CERTIFICATE = "-cert-v01@openssh.com"
"""How the names of the algorithms of certificates end."""


def select_algorithms(option: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the algorithms to offer.

    Args:
        option: A key of :data:`OFFERED`.
        allowed: The algorithms of ssh_config; empty: it has none.
    """
    names = frozenset(allowed)
    if not names:
        return OFFERED[option]
    return tuple(
        name
        for name in OFFERED[option]
        if not names.isdisjoint({name, _ALIASES.get(name, name), name + CERTIFICATE})
    )


def restrict(transport: paramiko.Transport, allowed: Mapping[str, Iterable[str]]) -> None:
    """Let a transport offer only the algorithms of this module that ssh_config allows.

    Raises:
        paramiko.ssh_exception.IncompatiblePeer: ssh_config allows none of them.
    """
    options = transport.get_security_options()
    selected = {name: select_algorithms(name, allowed.get(name, ())) for name in OFFERED}
    # Paramiko omits what its cryptographic library does not have.
    selected["kexalgorithms"] = tuple(
        name for name in selected["kexalgorithms"] if name in options.kex
    )
    for name, found in selected.items():
        if not found:
            raise paramiko.ssh_exception.IncompatiblePeer(
                f"{name} of ssh_config has none of {', '.join(OFFERED[name])}"
            )
    options.ciphers = selected["ciphers"]
    options.digests = selected["macs"]
    options.kex = selected["kexalgorithms"]
    options.key_types = selected["hostkeyalgorithms"]
    accepted = selected["pubkeyacceptedalgorithms"]
    transport.disabled_algorithms = {
        "pubkeys": [name for name in transport.preferred_pubkeys if name not in accepted]
    }
