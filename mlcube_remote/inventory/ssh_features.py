# SPDX-License-Identifier: Apache-2.0
"""Find what an ssh_config asks for that only OpenSSH can do, and what it switches off."""

from __future__ import annotations

from collections.abc import Mapping

_ONLY_IF: Mapping[str, str] = {
    "hostbasedauthentication": "yes",
    "proxyusefdpass": "yes",
    "verifyhostkeydns": "yes",
}
"""Option → the value that Paramiko cannot do."""

_UNLESS: Mapping[str, frozenset[str]] = {
    "pkcs11provider": frozenset({"none"}),
    "knownhostscommand": frozenset({"none"}),
    "certificatefile": frozenset({"none"}),
    "revokedhostkeys": frozenset({"none"}),
    "bindaddress": frozenset({"none"}),
    "bindinterface": frozenset({"none"}),
    "addressfamily": frozenset({"any"}),
}
"""Option → the values that Paramiko can do; ``ssh -G`` omits most of these without a value."""

_METHODS = {
    "pubkeyauthentication": "publickey",
    "passwordauthentication": "password",
    "kbdinteractiveauthentication": "keyboard-interactive",
}
"""Option → the method of login that it switches off with ``no``."""

_NAMES = {
    "hostbasedauthentication": "HostbasedAuthentication",
    "proxyusefdpass": "ProxyUseFdpass",
    "verifyhostkeydns": "VerifyHostKeyDNS",
    "pkcs11provider": "PKCS11Provider",
    "knownhostscommand": "KnownHostsCommand",
    "certificatefile": "CertificateFile",
    "revokedhostkeys": "RevokedHostKeys",
    "bindaddress": "BindAddress",
    "bindinterface": "BindInterface",
    "addressfamily": "AddressFamily",
}


def list_features(options: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the options that only OpenSSH can do.

    Args:
        options: The output of ``ssh -G``: option name in lower case → values.

    Returns:
        The options as ssh_config(5) spells them, in a fixed order.
    """
    found = []
    for option, name in _NAMES.items():
        value = next(iter(options.get(option, ())), "").strip().lower()
        if option in _ONLY_IF:
            is_needed = value in {_ONLY_IF[option], "true"}
        else:
            is_needed = bool(value) and value not in _UNLESS[option]
        if is_needed:
            found.append(name)
    return tuple(found)


def disabled_methods(options: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return the methods of login that an ssh_config switches off, as RFC 4252 names them."""
    return frozenset(
        method
        for option, method in _METHODS.items()
        if next(iter(options.get(option, ())), "") in {"no", "false"}
    )
