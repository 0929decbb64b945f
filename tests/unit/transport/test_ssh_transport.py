# SPDX-License-Identifier: Apache-2.0
"""Each failure to connect has its own message, and only transient failures are retried."""

from __future__ import annotations

import contextlib
import errno
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import attrs
import paramiko
import pytest

from mlcube_remote.errors import ConnectError, UnreachableError
from mlcube_remote.inventory.model import HostKeys
from mlcube_remote.transport import attempts, ssh_transport
from mlcube_remote.transport.connect_errors import format_address, forwarding_error, tcp_error
from mlcube_remote.transport.login_limiter import (
    MAX_CONCURRENT_LOGINS,
    LoginLimiter,
    limiter_for,
)
from tests.support.ssh_server import Lab, Serve, SSHServer, Tunnel

Listen = Callable[[bytes | None], "Listener"]


@attrs.define
class Listener:
    """Sends a text to each client and closes the connection, or sends nothing and waits."""

    text: bytes | None
    connections: int = attrs.field(default=0, init=False)
    listener: socket.socket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port = self.listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.connections += 1
                if self.text is None:
                    kept.enter_context(sock)
                    continue
                with sock, contextlib.suppress(OSError):
                    sock.sendall(self.text)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(4096):
                        pass


@pytest.fixture
def listen() -> Iterator[Listen]:
    with contextlib.ExitStack() as stack:

        def start(text: bytes | None) -> Listener:
            listener = Listener(text)
            stack.callback(listener.close)
            return listener

        yield start


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RETRY_DELAY_S", 0.01)
    monkeypatch.setattr(attempts, "MAX_RETRY_DELAY_S", 0.01)


@pytest.mark.parametrize(
    ("text", "attempts", "message"),
    [
        (b"", 3, "closed the connection before any login"),
        (b"Exceeded MaxStartups\r\n", 8, r"before any login \(Exceeded MaxStartups\)"),
        (b"Not allowed at this time\r\n", 1, "may be penalising this address"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            1,
            "is not an SSH server: it sent 'HTTP/1.1 400 Bad Re",
        ),
        (b"\x1b[2J\x07evil\n" * 10, 1, r"is not an SSH server: it sent '\\x1b\[2J\\x07evil'"),
        (b"x" * 1_000_000, 1, "is not an SSH server: it sent 'xxx"),
        (b"SSH-1.5-old\r\n", 1, "have no algorithm in common"),
        (b"SSH-2.0-dies\r\n", 3, "closed the connection before any login"),
        (None, 2, r"accepted the connection but did not answer within 0\.3 s"),
    ],
)
def test_text_instead_of_ssh_is_reported(
    lab: Lab, listen: Listen, text: bytes | None, attempts: int, message: str
) -> None:
    listener = listen(text)

    with pytest.raises(UnreachableError, match=message) as caught:
        lab.log_in(listener.port, connect_timeout=0.3)

    assert str(caught.value).startswith(f"h1: 127.0.0.1:{listener.port}") or "proxy" in message
    assert caught.value.hint
    assert caught.value.exit_code == 120
    assert listener.connections == attempts


def test_a_closed_port_is_not_retried(lab: Lab, listen: Listen) -> None:
    listener = listen(b"")
    port = listener.port
    listener.close()

    with pytest.raises(
        UnreachableError, match="refused the connection: nothing listens on this port"
    ):
        lab.log_in(port)


@pytest.mark.parametrize(
    ("problem", "message", "is_retried"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "the name gpu01 does not resolve",
            False,
        ),
        (TimeoutError(), "no answer from gpu01:22 within 7 s", True),
        (OSError(errno.ECONNREFUSED, "refused"), "gpu01:22 refused the connection", False),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to gpu01:22", True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route to gpu01:22", True),
        (OSError(errno.EACCES, "Permission denied"), "gpu01:22: Permission denied", False),
    ],
)
def test_each_network_problem_has_its_own_message(
    lab: Lab, problem: OSError, message: str, is_retried: bool
) -> None:
    endpoint = lab.endpoint(22, hostname="gpu01", connect_timeout=7.0)

    error = tcp_error("h1", endpoint, problem)

    assert message in str(error)
    assert isinstance(error, ConnectError) is not is_retried


def test_an_unknown_name_is_reported(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_args: object, **_more: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(UnreachableError, match="the name gpu99 does not resolve"):
        lab.log_in(22, hostname="gpu99")


def test_ipv6_addresses_have_brackets(lab: Lab) -> None:
    assert format_address(lab.endpoint(22, hostname="fe80::1")) == "[fe80::1]:22"
    assert format_address(lab.endpoint(22, hostname="gpu01")) == "gpu01:22"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (paramiko.ChannelException(1, "Administratively prohibited"), "administratively prohib"),
        (paramiko.ChannelException(2, "Connect failed"), "could not reach gpu01:22"),
        (paramiko.SSHException("Timeout opening channel."), "could not reach gpu01:22"),
    ],
)
def test_a_jump_host_that_does_not_forward_is_reported(
    lab: Lab, problem: Exception, message: str
) -> None:
    error = forwarding_error("h1", lab.endpoint(22, hostname="gpu01"), problem)

    assert message in str(error)


@contextlib.contextmanager
def _tunnel(server: SSHServer, **more: object) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(server.port, **more)) as tunnel:  # type: ignore[arg-type]
        yield tunnel


def test_a_dropped_login_is_retried_and_reduces_the_limit(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])

    with _tunnel(server, refusals=2) as tunnel:
        lab.log_in(tunnel.port, HostKeys.ACCEPT_NEW).close()

        assert tunnel.connections == 3
        assert limiter_for("127.0.0.1", tunnel.port).limit == MAX_CONCURRENT_LOGINS // 4


def test_a_connection_waits_for_its_slot_before_it_starts(
    lab: Lab, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = LoginLimiter(limit=1)
    monkeypatch.setattr(ssh_transport, "limiter_for", lambda _hostname, _port: limiter)
    server = serve(accepted=[lab.client_key.asbytes()])

    with _tunnel(server) as tunnel:
        with limiter.slot():
            connecting = threading.Thread(
                target=lambda: lab.log_in(tunnel.port, HostKeys.ACCEPT_NEW).close()
            )
            connecting.start()
            time.sleep(0.2)
            assert tunnel.connections == 0
        connecting.join()
        assert tunnel.connections == 1


_NETCAT = """
import os, socket, sys, threading
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536): sock.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := sock.recv(65536): os.write(1, data)
"""


def test_a_proxy_command_connects_to_the_server(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])
    command = shlex.join([sys.executable, "-S", "-c", _NETCAT, str(server.port)])

    opened = lab.log_in(22, HostKeys.ACCEPT_NEW, hostname="gpu01.invalid", proxy_command=command)
    assert opened.transport.is_authenticated()
    opened.close()


def test_the_message_of_a_failed_proxy_command_is_reported(lab: Lab) -> None:
    with pytest.raises(
        UnreachableError, match=r"the proxy command to gpu01:22 failed: no such route"
    ):
        lab.log_in(22, hostname="gpu01", proxy_command="sh -c 'echo no such route >&2; exit 1'")


def test_a_proxy_command_that_ignores_sigterm_is_killed(lab: Lab) -> None:
    stubborn = "sh -c 'trap \"\" TERM; while :; do sleep 1; done'"
    began = time.monotonic()

    with pytest.raises(UnreachableError, match="did not answer within"):
        lab.log_in(22, connect_timeout=0.2, proxy_command=stubborn)

    assert time.monotonic() - began < 8


def test_algorithms_that_sign_with_sha1_are_not_used(
    lab: Lab, serve: Serve, host_keys: dict[str, paramiko.PKey]
) -> None:
    server = serve(keys=[host_keys["rsa"]], accepted=[lab.client_key.asbytes()])

    opened = lab.log_in(server, HostKeys.ACCEPT_NEW)

    assert opened.transport.host_key_type in ("rsa-sha2-512", "rsa-sha2-256")
    opened.close()
