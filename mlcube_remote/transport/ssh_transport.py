# SPDX-License-Identifier: Apache-2.0
"""Open an authenticated Paramiko transport to an endpoint, through its jump hosts if it has any.

The server's key is checked before any login. Only failures that may be transient are retried:
never a refused login, never a host key.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import attrs
import paramiko

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.transport.algorithms import restrict
from mlcube_remote.transport.attempts import TransientConnectError, retry_transient
from mlcube_remote.transport.auth import Login
from mlcube_remote.transport.connect_errors import (
    HandshakeFailure,
    forwarding_error,
    tcp_error,
    translate_ssh_errors,
)
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.guarded_transport import PACKET, WINDOW, GuardedTransport
from mlcube_remote.transport.host_keys import HostKeyCheck
from mlcube_remote.transport.login_limiter import limiter_for
from mlcube_remote.transport.monitored_socket import MonitoredSocket

if TYPE_CHECKING:
    from mlcube_remote.transport.proxy import Proxy


@attrs.frozen(kw_only=True)
class ConnectRequest:
    """What is the same for all hops to a host."""

    host: str
    """Inventory name, for messages."""
    credentials: Credentials
    note: Callable[[str], None]
    """Called with lines for the user."""
    opens_session: bool = False
    """Whether the host gets a session with the login, which the caller takes."""


@attrs.define
class AuthenticatedTransport:
    """A Paramiko transport that is logged in, and the connections below it."""

    transport: GuardedTransport
    sock: MonitoredSocket
    _below: ExitStack
    """Closes the transport and all hops."""

    def close(self) -> None:
        """Close the transport, then the hops below it."""
        self._below.close()


def open_transport(endpoint: Endpoint, request: ConnectRequest) -> AuthenticatedTransport:
    """Connect hop by hop: check the host key and log in to each.

    Raises:
        ConnectError: A hop could not be reached, its key was refused, or the login was.
    """
    return retry_transient(partial(_open_once, endpoint, request))


def _open_once(endpoint: Endpoint, request: ConnectRequest) -> AuthenticatedTransport:
    with ExitStack() as stack:
        below, jump = None, attrs.evolve(request, opens_session=False)
        for hop in endpoint.proxy_jump:
            below, _ = _open_limited(hop, below, jump, stack)
        transport, sock = _open_limited(endpoint, below, request, stack)
        return AuthenticatedTransport(transport, sock, stack.pop_all())


def _open_limited(
    hop: Endpoint, below: paramiko.Transport | None, request: ConnectRequest, stack: ExitStack
) -> tuple[GuardedTransport, MonitoredSocket]:
    limiter = limiter_for(hop.hostname, hop.port)
    # sshd counts a connection from its first packet on, so the slot is held from there.
    with limiter.slot():
        try:
            return _open_hop(hop, below, request, stack)
        except TransientConnectError as problem:
            if problem.is_overload:
                limiter.reduce()
            raise


def read_host_key(
    endpoint: Endpoint, request: ConnectRequest
) -> tuple[HostKeyCheck, paramiko.PKey]:
    """Return the key of a server, and its check, which is not made; log in to jump hosts only.

    Raises:
        ConnectError: A hop could not be reached, or a jump host refused the login.
    """
    return retry_transient(partial(_read_key_once, endpoint, request))


def _read_key_once(
    endpoint: Endpoint, request: ConnectRequest
) -> tuple[HostKeyCheck, paramiko.PKey]:
    with ExitStack() as stack:
        transport = None
        for hop in endpoint.proxy_jump:
            transport, _ = _open_limited(hop, transport, request, stack)
        with limiter_for(endpoint.hostname, endpoint.port).slot():
            opened = _open_unverified(endpoint, transport, request, stack)
        return opened.check, opened.key


def _open_hop(
    hop: Endpoint, below: paramiko.Transport | None, request: ConnectRequest, stack: ExitStack
) -> tuple[GuardedTransport, MonitoredSocket]:
    opened = _open_unverified(hop, below, request, stack)
    opened.check.verify(opened.key)
    Login(request.host, hop, request.credentials, opened.sock, request.note).run(opened.transport)
    return opened.transport, opened.sock


@attrs.frozen(kw_only=True)
class _Unverified:
    """A transport to a server whose key nothing has checked yet."""

    transport: GuardedTransport
    sock: MonitoredSocket
    check: HostKeyCheck
    key: paramiko.PKey


def _open_unverified(
    hop: Endpoint, below: paramiko.Transport | None, request: ConnectRequest, stack: ExitStack
) -> _Unverified:
    proxy: Proxy | None = None
    if below is not None:
        sock = MonitoredSocket(_forward(below, hop, request))
    elif hop.proxy_command:
        from mlcube_remote.transport.proxy import Proxy  # noqa: PLC0415 - few hosts need it

        proxy = Proxy.start(hop.proxy_command)
        stack.callback(proxy.close)
        sock = MonitoredSocket(proxy.sock)
    else:
        sock = MonitoredSocket(_connect_tcp(hop, request))
    # The transport closes the socket only after it has started.
    stack.callback(sock.close)
    transport = GuardedTransport(sock.for_paramiko(), opens_session=request.opens_session)
    stack.callback(transport.close)
    check = _make_key_check(hop, request)

    def explain(problem: Exception) -> Exception:
        failure = HandshakeFailure(
            host=request.host,
            endpoint=hop,
            sock=sock,
            proxy_message=proxy.last_message() if proxy is not None else "",
        )
        return failure.explain(problem)

    with translate_ssh_errors(explain):
        key = _exchange_keys(transport, hop, check)
    return _Unverified(transport=transport, sock=sock, check=check, key=key)


def _connect_tcp(hop: Endpoint, request: ConnectRequest) -> socket.socket:
    try:
        sock = socket.create_connection((hop.hostname, hop.port), timeout=hop.connect_timeout)
    except OSError as problem:
        raise tcp_error(request.host, hop, problem) from problem
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _forward(below: paramiko.Transport, hop: Endpoint, request: ConnectRequest) -> paramiko.Channel:
    """Open a channel through a jump host to the next hop."""
    with translate_ssh_errors(partial(forwarding_error, request.host, hop)):
        return below.open_channel(
            "direct-tcpip",
            (hop.hostname, hop.port),
            ("127.0.0.1", 0),
            window_size=WINDOW,
            max_packet_size=PACKET,
            timeout=hop.connect_timeout,
        )


def _make_key_check(hop: Endpoint, request: ConnectRequest) -> HostKeyCheck:
    return HostKeyCheck(
        host=request.host,
        hostname=hop.hostname,
        port=hop.port,
        alias=hop.host_key_alias,
        policy=hop.host_keys,
        trust_setting=hop.trust_setting,
        is_check_disabled=hop.is_check_disabled,
        user_files=hop.user_known_hosts_files,
        global_files=hop.global_known_hosts_files,
        note=request.note,
    )


def _exchange_keys(
    transport: paramiko.Transport, hop: Endpoint, check: HostKeyCheck
) -> paramiko.PKey:
    transport.banner_timeout = hop.connect_timeout
    transport.auth_timeout = hop.connect_timeout
    transport.handshake_timeout = hop.connect_timeout
    restrict(transport, hop.algorithms)
    options = transport.get_security_options()
    options.key_types = check.prefer_known(options.key_types)
    transport.start_client(timeout=hop.connect_timeout)
    # After a timeout start_client just returns; then this raises, because there is no key.
    return transport.get_remote_server_key()
