# SPDX-License-Identifier: Apache-2.0
"""Turn failures of sockets and of Paramiko into errors that say what to do.

No other module decides what a failed connection means: the others wrap what they ask of Paramiko
in :func:`translate_ssh_errors`, with a function of this module or of their own that explains it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import paramiko

from mlcube_remote.errors import UnreachableError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.attempts import (
    MAX_CLOSED,
    MAX_DROPPED,
    MAX_TIMEOUTS,
    TransientConnectError,
)
from mlcube_remote.transport.guarded_transport import (
    DisconnectedError,
    OldServerError,
    ProtocolError,
    printable,
)
from mlcube_remote.transport.monitored_socket import MonitoredSocket

SSH_ERRORS = (paramiko.SSHException, EOFError, OSError)
"""All that Paramiko raises if a connection, or a request on it, fails."""

_PROHIBITED = 1
"""The code of "administratively prohibited" (RFC 4254, 5.1)."""


class IncompatibleServerError(UnreachableError):
    """The server has only algorithms that Paramiko's transport does not use."""

    kind = UnreachableError.kind

    def __init__(self, host: str, problem: OldServerError, message: str, *, hint: str) -> None:
        super().__init__(host, message, hint=hint)
        self.option = problem.option
        self.offered = problem.offered


@contextmanager
def translate_ssh_errors(explain: Callable[[Exception], Exception]) -> Iterator[None]:
    """Raise ``explain(problem)`` for each problem in :data:`SSH_ERRORS`."""
    try:
        yield
    except SSH_ERRORS as problem:
        raise explain(problem) from problem


def format_address(endpoint: Endpoint) -> str:
    """Return an address as messages show it."""
    if ":" in endpoint.hostname:
        return f"[{endpoint.hostname}]:{endpoint.port}"
    return f"{endpoint.hostname}:{endpoint.port}"


def tcp_error(host: str, endpoint: Endpoint, problem: OSError) -> Exception:
    """Return the error for a TCP connection that failed.

    Args:
        host: Inventory name.
        endpoint: Target of the connection.
        problem: The system's error.

    Returns:
        A ConnectError, or a TransientConnectError that contains one.
    """
    address = format_address(endpoint)
    if isinstance(problem, socket.gaierror):
        return UnreachableError(
            host,
            f"the name {endpoint.hostname} does not resolve ({problem.strerror})",
            hint="check address (or HostName in ~/.ssh/config) and your DNS or VPN",
        )
    if isinstance(problem, TimeoutError):
        error = UnreachableError(
            host,
            f"no answer from {address} within {endpoint.connect_timeout:g} s",
            hint="check that the host is on, and that no firewall or VPN blocks it; "
            "connect_timeout sets how long to wait",
        )
        return TransientConnectError(error, max_attempts=MAX_TIMEOUTS)
    if problem.errno == errno.ECONNREFUSED:
        return UnreachableError(
            host,
            f"{address} refused the connection: nothing listens on this port",
            hint="check the port, and that sshd runs: systemctl status ssh",
        )
    if problem.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        error = UnreachableError(
            host,
            f"no route to {address} ({problem.strerror})",
            hint="check your network or VPN",
        )
        return TransientConnectError(error, max_attempts=MAX_TIMEOUTS)
    return UnreachableError(host, f"{address}: {problem.strerror or problem}")


def forwarding_error(host: str, endpoint: Endpoint, problem: Exception) -> UnreachableError:
    """Return the error for a jump host that does not connect to ``endpoint``."""
    address = format_address(endpoint)
    if isinstance(problem, paramiko.ChannelException) and problem.code == _PROHIBITED:
        return UnreachableError(
            host,
            f"the jump host does not forward to {address}: administratively prohibited",
            hint="its sshd_config must allow TCP forwarding (AllowTcpForwarding, PermitOpen)",
        )
    return UnreachableError(
        host,
        f"the jump host could not reach {address} ({problem})",
        hint=f"on the jump host, try: nc -vz {endpoint.hostname} {endpoint.port}",
    )


@attrs.frozen(kw_only=True)
class HandshakeFailure:
    """A key exchange that failed."""

    host: str
    endpoint: Endpoint
    sock: MonitoredSocket
    proxy_message: str = ""
    """Last line that the proxy command printed to its standard error."""

    def explain(self, problem: Exception) -> Exception:
        """Return what to raise: a ConnectError, or a TransientConnectError that contains one."""
        address = format_address(self.endpoint)
        if isinstance(problem, OldServerError):
            return self._too_old(problem)
        if isinstance(problem, paramiko.ssh_exception.IncompatiblePeer):
            return self._unreachable(
                f"{address} and this client have no algorithm in common "
                f"({printable(str(problem))})",
                hint="its SSH server is too old to be safe; update it",
            )
        if self.proxy_message and not self.sock.banner:
            return self._unreachable(
                f"the proxy command to {address} failed: {self.proxy_message}",
                hint="run the ProxyCommand of ~/.ssh/config by hand",
            )
        refusal = self.sock.refusal
        if refusal.startswith("Not allowed at this time"):
            return self._unreachable(
                f"{address} may be penalising this address: '{refusal}'",
                hint="wait some minutes, then try once (sshd's PerSourcePenalties)",
            )
        if refusal and not refusal.startswith("Exceeded MaxStartups"):
            return self._unreachable(
                f"{address} is not an SSH server: it sent '{refusal}'", hint="check the port"
            )
        if isinstance(problem, ProtocolError):
            return self._unreachable(
                f"{address} does not follow the SSH protocol: {problem}",
                hint="check the address and the port; another kind of server may "
                "answer, or a device on the way changes the data",
            )
        if isinstance(problem, DisconnectedError):
            return self._unreachable(
                f"{address} ended the connection before any login: '{problem}'",
                hint="see the log of its sshd",
            )
        if not self.sock.is_ended:
            return TransientConnectError(self._no_answer(), max_attempts=MAX_TIMEOUTS)
        return TransientConnectError(
            self._closed(refusal),
            max_attempts=MAX_DROPPED if refusal else MAX_CLOSED,
            is_overload=True,
        )

    def _too_old(self, problem: OldServerError) -> IncompatibleServerError:
        return IncompatibleServerError(
            self.host,
            problem,
            f"{format_address(self.endpoint)} and this client have no algorithm in common: "
            f"{problem}",
            hint="its SSH server is too old to be safe: update it; if that is not possible, set "
            "`transport: openssh` for the host in hosts.yaml, and allow the old algorithm in "
            "~/.ssh/config",
        )

    def _unreachable(self, message: str, *, hint: str) -> UnreachableError:
        return UnreachableError(self.host, message, hint=hint)

    def _no_answer(self) -> UnreachableError:
        return self._unreachable(
            f"{format_address(self.endpoint)} accepted the connection but did not answer within "
            f"{self.endpoint.connect_timeout:g} s",
            hint="its sshd hangs or is overloaded; connect_timeout sets how long to wait",
        )

    def _closed(self, refusal: str) -> UnreachableError:
        reason = f" ({refusal})" if refusal else ""
        return self._unreachable(
            f"{format_address(self.endpoint)} closed the connection before any login{reason}",
            hint="too many logins at the same time (MaxStartups in its sshd_config), or a ban "
            "(PerSourcePenalties, fail2ban, hosts.deny): see its log",
        )
