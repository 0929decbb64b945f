# SPDX-License-Identifier: Apache-2.0
"""From an endpoint to an authenticated Paramiko transport, through jump hosts where need be.

No login is tried before the server's key has been verified, and only what may pass is tried again:
never a refused login, never a host key.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import attrs
import paramiko

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport import login_limiter as pacing
from mlcube_remote.transport.auth import Credentials, Login
from mlcube_remote.transport.connect_errors import (
    Handshake,
    PassingError,
    no_connection,
    no_forwarding,
)
from mlcube_remote.transport.host_keys import HostKeyCheck
from mlcube_remote.transport.monitored_socket import Wire
from mlcube_remote.transport.proxy import Proxy

WINDOW = 16 * 1024 * 1024
"""Bytes that may be under way on one channel; smaller windows halve the throughput."""

PACKET = 128 * 1024

_SHA1 = {"keys": ["ssh-rsa", "ssh-dss"], "pubkeys": ["ssh-rsa", "ssh-dss"]}
"""Signatures that OpenSSH has given up as well; RSA keys sign with SHA-2."""


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
    wire: Wire
    _carriers: ExitStack

    def close(self) -> None:
        """Close the transport, then the hops beneath it."""
        self._carriers.close()


def dial(endpoint: Endpoint, caller: Caller) -> Dialled:
    """Connect, check the host key and log in; hop by hop.

    Raises:
        ConnectError: One of its kinds, in plain words.
    """
    for attempt in itertools.count(1):
        try:
            return _dial_once(endpoint, caller)
        except PassingError as problem:
            if attempt >= problem.attempts:
                raise problem.error from problem
            time.sleep(pacing.pause(attempt))
    raise AssertionError("unreachable")


def _dial_once(endpoint: Endpoint, caller: Caller) -> Dialled:
    with ExitStack() as carriers:
        below: paramiko.Transport | None = None
        for hop in (*endpoint.proxy_jump, endpoint):
            gate = pacing.gate(hop.hostname, hop.port)
            # From the first packet on, for that is when the server begins to count.
            with gate.turn():
                try:
                    below, wire = _hop(hop, below, caller, carriers)
                except PassingError as problem:
                    if problem.is_crowd:
                        gate.narrow()
                    raise
        assert below is not None  # noqa: S101 - the endpoint itself is a hop
        return Dialled(below, wire, carriers.pop_all())


def _hop(
    hop: Endpoint, below: paramiko.Transport | None, caller: Caller, carriers: ExitStack
) -> tuple[paramiko.Transport, Wire]:
    proxy: Proxy | None = None
    if below is not None:
        wire = Wire(_through(below, hop, caller))
    elif hop.proxy_command:
        proxy = Proxy.start(hop.proxy_command)
        carriers.callback(proxy.close)
        wire = Wire(proxy.sock)
    else:
        wire = Wire(_tcp(hop, caller))
    # The transport closes it too, but only once it runs.
    carriers.callback(wire.close)
    transport = paramiko.Transport(
        wire.for_paramiko(),
        default_window_size=WINDOW,
        default_max_packet_size=PACKET,
        disabled_algorithms=_SHA1,
    )
    carriers.callback(transport.close)
    check = _key_check(hop, caller)
    try:
        key = _exchange_keys(transport, hop, check)
    except (paramiko.SSHException, EOFError, OSError) as problem:
        handshake = Handshake(
            host=caller.host,
            endpoint=hop,
            wire=wire,
            proxy_complaint=proxy.complaint() if proxy is not None else "",
        )
        raise handshake.explain(problem) from problem
    check.verify(key)
    Login(caller.host, hop, caller.credentials).run(transport)
    return transport, wire


def _tcp(hop: Endpoint, caller: Caller) -> socket.socket:
    try:
        sock = socket.create_connection((hop.hostname, hop.port), timeout=hop.connect_timeout)
    except OSError as problem:
        raise no_connection(caller.host, hop, problem) from problem
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _through(below: paramiko.Transport, hop: Endpoint, caller: Caller) -> paramiko.Channel:
    try:
        return below.open_channel(
            "direct-tcpip",
            (hop.hostname, hop.port),
            ("127.0.0.1", 0),
            window_size=WINDOW,
            max_packet_size=PACKET,
            timeout=hop.connect_timeout,
        )
    except (paramiko.SSHException, EOFError, OSError) as problem:
        raise no_forwarding(caller.host, hop, problem) from problem


def _key_check(hop: Endpoint, caller: Caller) -> HostKeyCheck:
    return HostKeyCheck(
        host=caller.host,
        hostname=hop.hostname,
        port=hop.port,
        alias=hop.host_key_alias,
        policy=caller.host_keys,
        user_files=hop.user_known_hosts_files,
        global_files=hop.global_known_hosts_files,
        note=caller.note,
    )


def _exchange_keys(
    transport: paramiko.Transport, hop: Endpoint, check: HostKeyCheck
) -> paramiko.PKey:
    transport.banner_timeout = hop.connect_timeout
    transport.auth_timeout = hop.connect_timeout
    transport.handshake_timeout = hop.connect_timeout
    options = transport.get_security_options()
    options.key_types = check.preferred(options.key_types)
    transport.start_client(timeout=hop.connect_timeout)
    # Where the time ran out, start_client only returns, and there is no key.
    return transport.get_remote_server_key()
