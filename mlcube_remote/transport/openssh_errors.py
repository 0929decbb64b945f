# SPDX-License-Identifier: Apache-2.0
"""Turn what ``ssh`` prints when a login fails into the errors of this package."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from mlcube_remote.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyError,
    UnreachableError,
)
from mlcube_remote.formatting import escape_unprintable
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.attempts import (
    MAX_CLOSED,
    MAX_TIMEOUTS,
    TransientConnectError,
)
from mlcube_remote.transport.known_hosts import how_to_trust

_MAX_LINE = 300
_NOISE = re.compile(
    r"^(@+|@ .* @|It is possible|Someone could|Add correct|Please contact|\*\*|"
    r"Warning: Permanently added|debug\d: )"
)

_KeyRule = tuple[str, Callable[[str, Endpoint, str], Exception]]


def _messages(stderr: str) -> list[str]:
    """Return the lines without those that only decorate others."""
    lines = (line.strip() for line in stderr.splitlines())
    return [
        escape_unprintable(line)[:_MAX_LINE] for line in lines if line and not _NOISE.match(line)
    ]


def _revoked(host: str, _endpoint: Endpoint, line: str) -> Exception:
    return HostKeyError(
        host,
        f"its host key is revoked ({line})",
        hint="do not connect; ask the host's administrator",
    )


def _changed(host: str, endpoint: Endpoint, line: str) -> Exception:
    name = _known_name(endpoint)
    return HostKeyError(
        host,
        f"its host key has CHANGED ({line})",
        hint="another machine may intercept the connection, or the host was reinstalled; ask its "
        f"administrator\nif the new key is right: ssh-keygen -R {shlex.quote(name)}",
    )


def _unknown(host: str, endpoint: Endpoint, line: str) -> Exception:
    files = ", ".join(endpoint.user_known_hosts_files) or "a file (ssh_config names none)"
    return HostKeyError(
        host,
        f"its host key is unknown: no line for {_known_name(endpoint)} in {files} ({line})",
        hint="ask the host's administrator for its fingerprint, compare it with that of "
        f"ssh {shlex.quote(endpoint.alias)}, and confirm it there\n"
        f"{how_to_trust(is_check_disabled=endpoint.is_check_disabled)}",
    )


def _refused_login(host: str, endpoint: Endpoint, line: str) -> Exception:
    return AuthenticationError(
        host,
        f"login as {endpoint.user} refused ({line})",
        hint=f"try: ssh {shlex.quote(endpoint.alias)}; if that asks for a password or code: "
        f"mlcube-remote login {host}, on a terminal",
    )


def _too_many(host: str, endpoint: Endpoint, line: str) -> Exception:
    return AuthenticationError(
        host,
        f"login as {endpoint.user} refused ({line})",
        hint="maybe too many keys: set identity_file for the host (and IdentitiesOnly yes in "
        "ssh_config)",
    )


def _unresolved(host: str, endpoint: Endpoint, line: str) -> Exception:
    return UnreachableError(
        host,
        f"the name {endpoint.hostname} does not resolve ({line})",
        hint="check address (or HostName in ssh_config) and your DNS or VPN",
    )


def _refused_connection(host: str, _endpoint: Endpoint, line: str) -> Exception:
    return UnreachableError(
        host,
        f"{line}: nothing listens on this port",
        hint="check the port, and that sshd runs: systemctl status ssh",
    )


def _no_route(host: str, _endpoint: Endpoint, line: str) -> Exception:
    error = UnreachableError(host, line, hint="check your network or VPN")
    return TransientConnectError(error, max_attempts=MAX_TIMEOUTS)


def _no_answer(host: str, endpoint: Endpoint, line: str) -> Exception:
    error = UnreachableError(
        host,
        f"did not answer within {endpoint.connect_timeout:g} s ({line})",
        hint="check that the host is on, and that no firewall or VPN blocks it; "
        "connect_timeout sets how long to wait",
    )
    return TransientConnectError(error, max_attempts=MAX_TIMEOUTS)


def _not_forwarded(host: str, _endpoint: Endpoint, line: str) -> Exception:
    return UnreachableError(
        host,
        f"the jump host does not forward ({line})",
        hint="its sshd_config must allow TCP forwarding (AllowTcpForwarding, PermitOpen)",
    )


def _incompatible(host: str, _endpoint: Endpoint, line: str) -> Exception:
    return UnreachableError(
        host,
        f"its SSH server and ssh have no algorithm in common ({line})",
        hint="its SSH server is too old to be safe: update it, or allow the algorithm for this "
        "host in ssh_config",
    )


def _closed(host: str, _endpoint: Endpoint, line: str) -> Exception:
    error = UnreachableError(
        host,
        f"closed the connection before any login ({line})",
        hint="too many logins at the same time (MaxStartups in its sshd_config), or a ban "
        "(PerSourcePenalties, fail2ban, hosts.deny): see its log",
    )
    return TransientConnectError(error, max_attempts=MAX_CLOSED, is_overload=True)


def _violation(host: str, _endpoint: Endpoint, line: str) -> Exception:
    return UnreachableError(
        host, f"does not follow the SSH protocol: {line}", hint="check the address and the port"
    )


_RULES: tuple[_KeyRule, ...] = (
    (r"REVOKED HOST KEY|Host key .*revoked", _revoked),
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed", _changed),
    (r"No .* host key is known|Host key verification failed", _unknown),
    (r"administratively prohibited|open failed: .*connect failed", _not_forwarded),
    (r"Too many authentication failures", _too_many),
    (r"Permission denied \(|No more authentication methods|sign_and_send_pubkey", _refused_login),
    (r"Could not resolve hostname", _unresolved),
    (r"Connection refused", _refused_connection),
    (r"No route to host|Network is unreachable", _no_route),
    (r"[Tt]imed out|[Tt]imeout", _no_answer),
    (r"no matching .* found", _incompatible),
    (r"Bad packet length|[Bb]ad .*padding|invalid format|not match|Protocol error", _violation),
    (r"banner exchange|Connection (closed|reset)|kex_exchange_identification", _closed),
)
"""Pattern in ssh's messages → error, the most specific first."""


def explain_login(host: str, endpoint: Endpoint, stderr: str) -> Exception:
    """Return the error for a login of ``ssh`` that failed.

    Args:
        host: Inventory name.
        endpoint: The target.
        stderr: What ``ssh`` printed.

    Returns:
        A ConnectError, or a TransientConnectError that contains one.
    """
    lines = _messages(stderr)
    for pattern, explain in _RULES:
        if re.search(pattern, stderr) is None:
            continue
        matching = [line for line in lines if re.search(pattern, line)]
        return explain(host, endpoint, (matching or lines or ["ssh failed"])[-1])
    return ConnectError(
        host,
        f"ssh failed: {lines[-1] if lines else 'without a message'}",
        hint=f"try: ssh -v {shlex.quote(endpoint.alias)}",
    )


def _known_name(endpoint: Endpoint) -> str:
    if endpoint.host_key_alias:
        return endpoint.host_key_alias
    return endpoint.hostname if endpoint.port == 22 else f"[{endpoint.hostname}]:{endpoint.port}"
