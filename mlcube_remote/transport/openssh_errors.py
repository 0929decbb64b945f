# SPDX-License-Identifier: Apache-2.0
"""Turn what ``ssh`` prints when a login fails into the errors of this package."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import attrs

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
from mlcube_remote.transport.kerberos import add_ticket_hint
from mlcube_remote.transport.known_hosts import format_name, how_to_trust

_MAX_LINE = 300
_REFUSED_METHODS = re.compile(r"Permission denied \(([\w,@.-]+)\)")
_NOISE = re.compile(
    r"^(@+|@ .* @|It is possible|Someone could|Add correct|Please contact|\*\*|"
    r"Warning: Permanently added|debug\d: )"
)


def _messages(stderr: str) -> list[str]:
    """Return the lines without those that only decorate others."""
    lines = (line.strip() for line in stderr.splitlines())
    return [
        escape_unprintable(line)[:_MAX_LINE] for line in lines if line and not _NOISE.match(line)
    ]


@attrs.frozen
class _Rule:
    """What a message of ``ssh`` means. The texts have the fields of :func:`_fields`."""

    pattern: str
    error: type[ConnectError]
    text: str
    hint: str
    max_attempts: int = 1
    """Maximum number of attempts, because another one may succeed."""
    is_overload: bool = False

    def explain(self, host: str, endpoint: Endpoint, line: str) -> Exception:
        """Return the error; ``line`` is what ``ssh`` printed."""
        fields = _fields(host, endpoint, line)
        hint = self.hint.format_map(fields)
        if (methods := _REFUSED_METHODS.search(line)) is not None:
            hint = add_ticket_hint(hint, endpoint, methods[1].split(","))
        error = self.error(host, self.text.format_map(fields), hint=hint)
        if self.max_attempts == 1:
            return error
        return TransientConnectError(
            error, max_attempts=self.max_attempts, is_overload=self.is_overload
        )


_RULES = (
    _Rule(
        r"REVOKED HOST KEY|Host key .*revoked",
        HostKeyError,
        "its host key is revoked ({line})",
        "do not connect; ask the host's administrator",
    ),
    _Rule(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        HostKeyError,
        "its host key has CHANGED ({line})",
        "another machine may intercept the connection, or the host was reinstalled; ask its "
        "administrator\nif the new key is right: ssh-keygen -R {quoted_name}",
    ),
    _Rule(
        r"No .* host key is known|Host key verification failed",
        HostKeyError,
        "its host key is unknown: no line for {name} in {files} ({line})",
        "ask the host's administrator for its fingerprint, compare it with that of ssh {alias}, "
        "and confirm it there\n{how_to_trust}",
    ),
    _Rule(
        r"administratively prohibited|open failed: .*connect failed",
        UnreachableError,
        "the jump host does not forward ({line})",
        "its sshd_config must allow TCP forwarding (AllowTcpForwarding, PermitOpen)",
    ),
    _Rule(
        r"Too many authentication failures",
        AuthenticationError,
        "login as {user} refused ({line})",
        "maybe too many keys: set identity_file for the host (and IdentitiesOnly yes in "
        "~/.ssh/config)",
    ),
    _Rule(
        r"Permission denied \(|No more authentication methods|sign_and_send_pubkey",
        AuthenticationError,
        "login as {user} refused ({line})",
        "try: ssh {alias}; if that asks for a password or code: mlcube-remote login {host}, on a "
        "terminal",
    ),
    _Rule(
        r"Could not resolve hostname",
        UnreachableError,
        "the name {hostname} does not resolve ({line})",
        "check address (or HostName in ~/.ssh/config) and your DNS or VPN",
    ),
    _Rule(
        r"Connection refused",
        UnreachableError,
        "{line}: nothing listens on this port",
        "check the port, and that sshd runs: systemctl status ssh",
    ),
    _Rule(
        r"No route to host|Network is unreachable",
        UnreachableError,
        "{line}",
        "check your network or VPN",
        max_attempts=MAX_TIMEOUTS,
    ),
    _Rule(
        r"[Tt]imed out|[Tt]imeout",
        UnreachableError,
        "did not answer within {timeout} s ({line})",
        "check that the host is on, and that no firewall or VPN blocks it; connect_timeout sets "
        "how long to wait",
        max_attempts=MAX_TIMEOUTS,
    ),
    _Rule(
        r"no matching .* found",
        UnreachableError,
        "its SSH server and ssh have no algorithm in common ({line})",
        "its SSH server is too old to be safe: update it, or allow the algorithm for this host in "
        "~/.ssh/config",
    ),
    _Rule(
        r"Bad packet length|[Bb]ad .*padding|invalid format|not match|Protocol error",
        UnreachableError,
        "does not follow the SSH protocol: {line}",
        "check the address and the port",
    ),
    _Rule(
        r"banner exchange|Connection (closed|reset)|kex_exchange_identification",
        UnreachableError,
        "closed the connection before any login ({line})",
        "too many logins at the same time (MaxStartups in its sshd_config), or a ban "
        "(PerSourcePenalties, fail2ban, hosts.deny): see its log",
        max_attempts=MAX_CLOSED,
        is_overload=True,
    ),
)
"""The most specific first."""


def _fields(host: str, endpoint: Endpoint, line: str) -> Mapping[str, str]:
    name = endpoint.host_key_alias or format_name(endpoint.hostname, endpoint.port)
    return {
        "host": host,
        "line": line,
        "user": endpoint.user,
        "hostname": endpoint.hostname,
        "alias": shlex.quote(endpoint.alias),
        "timeout": f"{endpoint.connect_timeout:g}",
        "name": name,
        "quoted_name": shlex.quote(name),
        "files": ", ".join(endpoint.user_known_hosts_files) or "a file (ssh_config names none)",
        "how_to_trust": how_to_trust(
            endpoint.trust_setting, is_check_disabled=endpoint.is_check_disabled
        ),
    }


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
    for rule in _RULES:
        if re.search(rule.pattern, stderr) is None:
            continue
        matching = [line for line in lines if re.search(rule.pattern, line)]
        line = (matching or lines or ["ssh failed"])[-1]
        return rule.explain(host, endpoint, line)
    return ConnectError(
        host,
        f"ssh failed: {lines[-1] if lines else 'without a message'}",
        hint=f"try: ssh -v {shlex.quote(endpoint.alias)}",
    )
