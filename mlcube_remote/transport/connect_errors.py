# SPDX-License-Identifier: Apache-2.0
"""Why no SSH session came about, in words a user can act on, and whether to try again."""

from __future__ import annotations

import errno
import socket

import attrs
import paramiko

from mlcube_remote.errors import ConnectError, UnreachableError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.monitored_socket import Wire

SLOW_ATTEMPTS = 2
"""How often what ends in a timeout is tried; each of them costs the user the whole wait."""

CROWD_ATTEMPTS = 8
"""How often a login is tried at an sshd that says there are too many."""

SILENT_ATTEMPTS = 3
"""How often a login is tried at an sshd that hangs up without a word: a crowd, or a ban."""


class PassingError(Exception):
    """Something that may pass.

    Args:
        error: What to say if it does not.
        attempts: How often to try, all in all.
        is_crowd: Whether fewer logins at once would help.
    """

    def __init__(self, error: ConnectError, *, attempts: int, is_crowd: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.attempts = attempts
        self.is_crowd = is_crowd


def at(endpoint: Endpoint) -> str:
    """Return an address as messages show it."""
    if ":" in endpoint.hostname:
        return f"[{endpoint.hostname}]:{endpoint.port}"
    return f"{endpoint.hostname}:{endpoint.port}"


def no_connection(host: str, endpoint: Endpoint, problem: OSError) -> Exception:
    """Explain why TCP did not connect.

    Args:
        host: Inventory name.
        endpoint: What was connected to.
        problem: What the system said.

    Returns:
        What to raise: a ConnectError, or a PassingError that holds one.
    """
    if isinstance(problem, socket.gaierror):
        return UnreachableError(
            host,
            f"the name {endpoint.hostname} does not resolve ({problem.strerror})",
            hint="check address (or HostName in ssh_config) and your DNS or VPN",
        )
    if isinstance(problem, TimeoutError):
        return PassingError(
            UnreachableError(
                host,
                f"no answer from {at(endpoint)} within {endpoint.connect_timeout:g} s",
                hint="is it on, and does a firewall or VPN stand between? "
                "connect_timeout sets how long to wait",
            ),
            attempts=SLOW_ATTEMPTS,
        )
    if problem.errno == errno.ECONNREFUSED:
        return UnreachableError(
            host,
            f"{at(endpoint)} refused the connection: nothing listens there",
            hint="check the port, and that sshd runs: systemctl status ssh",
        )
    if problem.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return PassingError(
            UnreachableError(
                host,
                f"no route to {at(endpoint)} ({problem.strerror})",
                hint="check your network or VPN",
            ),
            attempts=SLOW_ATTEMPTS,
        )
    return UnreachableError(host, f"{at(endpoint)}: {problem.strerror or problem}")


def no_forwarding(host: str, endpoint: Endpoint, problem: Exception) -> UnreachableError:
    """Explain why a jump host did not lead on to ``endpoint``."""
    code = problem.code if isinstance(problem, paramiko.ChannelException) else None
    if code == 1:
        return UnreachableError(
            host,
            f"the jump host does not lead on to {at(endpoint)}: administratively prohibited",
            hint="its sshd_config must allow TCP forwarding (AllowTcpForwarding, PermitOpen)",
        )
    return UnreachableError(
        host,
        f"the jump host could not reach {at(endpoint)} ({problem})",
        hint=f"try there: nc -vz {endpoint.hostname} {endpoint.port}",
    )


@attrs.frozen(kw_only=True)
class Handshake:
    """What is known of a key exchange that failed."""

    host: str
    endpoint: Endpoint
    wire: Wire
    proxy_complaint: str = ""
    """The last words of a proxy command."""

    def explain(self, problem: Exception) -> Exception:
        """Return what to raise: a ConnectError, or a PassingError that holds one."""
        if isinstance(problem, paramiko.ssh_exception.IncompatiblePeer):
            return UnreachableError(
                self.host,
                f"{at(self.endpoint)} and this client share no algorithm ({problem})",
                hint="its SSH server is too old to be safe; update it",
            )
        if self.proxy_complaint and not self.wire.said:
            return UnreachableError(
                self.host,
                f"the proxy command to {at(self.endpoint)} failed: {self.proxy_complaint}",
                hint="try ProxyCommand (in ssh_config) by hand",
            )
        reason = self.wire.reason
        if reason.startswith("Not allowed at this time"):
            return UnreachableError(
                self.host,
                f"{at(self.endpoint)} may be penalising this address: '{reason}'",
                hint="wait some minutes, then try once (sshd's PerSourcePenalties)",
            )
        if reason and not reason.startswith("Exceeded MaxStartups"):
            return UnreachableError(
                self.host,
                f"{at(self.endpoint)} is no SSH server: it said '{reason}'",
                hint="check the port",
            )
        if not self.wire.is_ended:
            return PassingError(
                UnreachableError(
                    self.host,
                    f"{at(self.endpoint)} accepted the connection but did not answer within "
                    f"{self.endpoint.connect_timeout:g} s",
                    hint="sshd there hangs or is overloaded; connect_timeout sets how long to wait",
                ),
                attempts=SLOW_ATTEMPTS,
            )
        said = f" ({reason})" if reason else ""
        return PassingError(
            UnreachableError(
                self.host,
                f"{at(self.endpoint)} closed the connection before any login{said}",
                hint="too many logins at once (MaxStartups in its sshd_config), or a ban "
                "(PerSourcePenalties, fail2ban, hosts.deny): look at its log",
            ),
            attempts=CROWD_ATTEMPTS if reason else SILENT_ATTEMPTS,
            is_crowd=True,
        )
