# SPDX-License-Identifier: Apache-2.0
"""From an endpoint to an authenticated Paramiko transport, through jump hosts where need be.

Names, routes, ports and refusals each get their own words, and only what may pass is tried again.
"""

from __future__ import annotations

import errno
import random
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import attrs
import paramiko

from mlcube_remote.errors import ConnectError, UnreachableError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport.auth import Credentials, Login
from mlcube_remote.transport.hostkeys import HostKeyCheck

ATTEMPTS = 3
"""How often a login is tried when the network or a busy sshd stumbles."""

LOGINS_AT_ONCE = 8
"""Logins under way at one address: sshd's MaxStartups begins to drop them at ten."""

WINDOW = 16 * 1024 * 1024
"""Bytes that may be under way on one channel; smaller windows halve the throughput."""

PACKET = 128 * 1024

_gates: dict[tuple[str, int], threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(LOGINS_AT_ONCE)
)
_gates_guard = threading.Lock()


class _TryAgainError(Exception):
    """Something that may pass; carries what to say if it does not."""

    def __init__(self, error: ConnectError) -> None:
        super().__init__(str(error))
        self.error = error


@attrs.frozen(kw_only=True)
class Caller:
    """On whose behalf a connection is made."""

    host: str
    """Inventory name, for messages."""
    host_keys: HostKeys
    credentials: Credentials
    note: Callable[[str], None]


@attrs.define
class Dialled:
    """An authenticated transport, and what carries it."""

    transport: paramiko.Transport
    _carriers: ExitStack

    def close(self) -> None:
        """Close the transport, then the hops beneath it."""
        self.transport.close()
        self._carriers.close()


def dial(endpoint: Endpoint, caller: Caller) -> Dialled:
    """Connect, check the host key and log in; hop by hop.

    Raises:
        ConnectError: One of its kinds, in plain words.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _dial_once(endpoint, caller)
        except _TryAgainError as problem:
            if attempt == ATTEMPTS:
                raise problem.error from problem
            # Jitter spreads hosts that were turned away together.
            time.sleep(0.5 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
    raise AssertionError("unreachable")


def _dial_once(endpoint: Endpoint, caller: Caller) -> Dialled:
    with ExitStack() as carriers:
        below: paramiko.Transport | None = None
        for hop in (*endpoint.proxy_jump, endpoint):
            sock = _socket(hop, below, caller, carriers)
            below = _login(hop, sock, caller)
            carriers.callback(below.close)
        assert below is not None  # noqa: S101 - the endpoint itself is a hop
        return Dialled(below, carriers.pop_all())


def _socket(
    hop: Endpoint,
    below: paramiko.Transport | None,
    caller: Caller,
    carriers: ExitStack,
) -> socket.socket | paramiko.Channel:
    if below is not None:
        try:
            return below.open_channel(
                "direct-tcpip",
                (hop.hostname, hop.port),
                ("127.0.0.1", 0),
                timeout=hop.connect_timeout,
            )
        except paramiko.SSHException as problem:
            raise UnreachableError(
                caller.host,
                f"the jump host could not reach {_at(hop)} ({problem})",
                hint="check jump, and that the jump host allows TCP forwarding",
            ) from problem
    if hop.proxy_command:
        return _proxy(hop.proxy_command, carriers)
    return _tcp(hop, caller)


def _proxy(command: str, carriers: ExitStack) -> socket.socket:
    ours, theirs = socket.socketpair()
    # ProxyCommand is shell text by definition (ssh_config(5)), from the user's own configuration.
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        stdin=theirs.fileno(),
        stdout=theirs.fileno(),
        start_new_session=True,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.terminate()
        process.wait()

    carriers.callback(end)
    return ours


def _tcp(hop: Endpoint, caller: Caller) -> socket.socket:
    try:
        sock = socket.create_connection((hop.hostname, hop.port), timeout=hop.connect_timeout)
    except socket.gaierror as problem:
        raise UnreachableError(
            caller.host,
            f"the name {hop.hostname} does not resolve ({problem.strerror})",
            hint="check address (or HostName in ssh_config) and your DNS or VPN",
        ) from problem
    except TimeoutError as problem:
        raise _TryAgainError(
            UnreachableError(
                caller.host,
                f"no answer from {_at(hop)} within {hop.connect_timeout:g} s",
                hint="is it on, and does a firewall or VPN stand between? "
                "connect_timeout sets how long to wait",
            )
        ) from problem
    except OSError as problem:
        raise _connect_error(hop, caller, problem) from problem
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _connect_error(hop: Endpoint, caller: Caller, problem: OSError) -> Exception:
    if problem.errno == errno.ECONNREFUSED:
        return UnreachableError(
            caller.host,
            f"{_at(hop)} refused the connection: nothing listens there",
            hint="check the port, and that sshd runs: systemctl status ssh",
        )
    if problem.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return _TryAgainError(
            UnreachableError(
                caller.host,
                f"no route to {_at(hop)} ({problem.strerror})",
                hint="check your network or VPN",
            )
        )
    return UnreachableError(caller.host, f"{_at(hop)}: {problem.strerror or problem}")


def _login(
    hop: Endpoint, sock: socket.socket | paramiko.Channel, caller: Caller
) -> paramiko.Transport:
    check = HostKeyCheck(
        host=caller.host,
        hostname=hop.host_key_alias or hop.hostname,
        port=DEFAULT_ALIAS_PORT if hop.host_key_alias else hop.port,
        policy=caller.host_keys,
        user_files=hop.user_known_hosts_files,
        global_files=hop.global_known_hosts_files,
        note=caller.note,
    )
    with _gate(hop):
        transport = paramiko.Transport(
            sock, default_window_size=WINDOW, default_max_packet_size=PACKET
        )
        try:
            _greet(transport, hop, check, caller)
            Login(caller.host, hop, caller.credentials, caller.note).run(transport)
        except BaseException:
            transport.close()
            raise
    return transport


DEFAULT_ALIAS_PORT = 22
"""HostKeyAlias names a key without its port."""


def _greet(
    transport: paramiko.Transport, hop: Endpoint, check: HostKeyCheck, caller: Caller
) -> None:
    transport.banner_timeout = hop.connect_timeout
    transport.auth_timeout = hop.connect_timeout
    transport.handshake_timeout = hop.connect_timeout
    options = transport.get_security_options()
    options.key_types = check.preferred(options.key_types)
    try:
        transport.start_client(timeout=hop.connect_timeout)
    except (paramiko.SSHException, EOFError, OSError) as problem:
        raise _translate(hop, caller, problem) from problem
    check.verify(transport.get_remote_server_key())


def _translate(hop: Endpoint, caller: Caller, problem: Exception) -> Exception:
    said = str(problem)
    if isinstance(problem, paramiko.ssh_exception.IncompatiblePeer):
        return UnreachableError(
            caller.host, f"{_at(hop)} and this client share no algorithm ({said})"
        )
    if "banner" in said or isinstance(problem, EOFError) or "Negotiation failed" in said:
        return _TryAgainError(
            UnreachableError(
                caller.host,
                f"{_at(hop)} closed the connection before any login, or is no SSH server ({said})",
                hint="too many logins at once (MaxStartups), a ban (PerSourcePenalties, fail2ban) "
                "or another service at that port",
            )
        )
    return _TryAgainError(
        UnreachableError(
            caller.host,
            f"{_at(hop)} accepted the connection but did not speak within "
            f"{hop.connect_timeout:g} s ({said or type(problem).__name__})",
            hint="sshd there hangs or is overloaded; connect_timeout sets how long to wait",
        )
    )


@contextmanager
def _gate(hop: Endpoint) -> Iterator[None]:
    with _gates_guard:
        gate = _gates[hop.hostname, hop.port]
    with gate:
        yield


def _at(hop: Endpoint) -> str:
    return f"{hop.hostname}:{hop.port}"
