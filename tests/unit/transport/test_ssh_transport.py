# SPDX-License-Identifier: Apache-2.0
"""Every way not to reach a server has words of its own, and only what may pass is tried again."""

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
from mlcube_remote.transport import login_limiter as pacing
from mlcube_remote.transport.connect_errors import at, no_connection, no_forwarding
from mlcube_remote.transport.login_limiter import Gate
from tests.unit.transport.ssh_server import Lab, Serve, SSHServer, Tunnel

Talk = Callable[[bytes | None], "Talker"]


@attrs.define
class Talker:
    """Says something to each visitor and hangs up, or says nothing and waits."""

    text: bytes | None
    visitors: int = attrs.field(default=0, init=False)
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
                self.visitors += 1
                if self.text is None:
                    kept.enter_context(sock)
                    continue
                with sock, contextlib.suppress(OSError):
                    sock.sendall(self.text)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(4096):
                        pass


@pytest.fixture
def talk() -> Iterator[Talk]:
    with contextlib.ExitStack() as stack:

        def start(text: bytes | None) -> Talker:
            talker = Talker(text)
            stack.callback(talker.close)
            return talker

        yield start


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "pause", lambda _attempt: 0.01)


@pytest.mark.parametrize(
    ("text", "visits", "message"),
    [
        (b"", 3, "closed the connection before any login"),
        (b"Exceeded MaxStartups\r\n", 8, r"before any login \(Exceeded MaxStartups\)"),
        (b"Not allowed at this time\r\n", 1, "may be penalising this address"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, "no SSH server: it said 'HTTP/1.1 400 Bad Re"),
        (b"\x1b[2J\x07evil\n" * 10, 1, r"no SSH server: it said '\\x1b\[2J\\x07evil'"),
        (b"x" * 1_000_000, 1, "no SSH server: it said 'xxx"),
        (b"SSH-1.5-old\r\n", 1, "share no algorithm"),
        (b"SSH-2.0-dies\r\n", 3, "closed the connection before any login"),
        (None, 2, r"accepted the connection but did not answer within 0\.3 s"),
    ],
)
def test_what_a_port_says_instead_of_ssh_is_told(
    lab: Lab, talk: Talk, text: bytes | None, visits: int, message: str
) -> None:
    talker = talk(text)

    with pytest.raises(UnreachableError, match=message) as caught:
        lab.dial(talker.port, connect_timeout=0.3)

    assert str(caught.value).startswith(f"h1: 127.0.0.1:{talker.port}") or "proxy" in message
    assert caught.value.hint
    assert caught.value.exit_code == 120
    assert talker.visitors == visits


def test_a_closed_port_is_not_tried_again(lab: Lab, talk: Talk) -> None:
    talker = talk(b"")
    port = talker.port
    talker.close()

    with pytest.raises(UnreachableError, match="refused the connection: nothing listens there"):
        lab.dial(port)


@pytest.mark.parametrize(
    ("problem", "message", "is_tried_again"),
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
def test_every_network_fault_has_words_of_its_own(
    lab: Lab, problem: OSError, message: str, is_tried_again: bool
) -> None:
    endpoint = lab.endpoint(22, hostname="gpu01", connect_timeout=7.0)

    explained = no_connection("h1", endpoint, problem)

    assert message in str(explained)
    assert isinstance(explained, ConnectError) is not is_tried_again


def test_a_name_that_nobody_has_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_args: object, **_more: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(UnreachableError, match="the name gpu99 does not resolve"):
        lab.dial(22, hostname="gpu99")


def test_ipv6_addresses_stand_in_brackets(lab: Lab) -> None:
    assert at(lab.endpoint(22, hostname="fe80::1")) == "[fe80::1]:22"
    assert at(lab.endpoint(22, hostname="gpu01")) == "gpu01:22"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (paramiko.ChannelException(1, "Administratively prohibited"), "administratively prohib"),
        (paramiko.ChannelException(2, "Connect failed"), "could not reach gpu01:22"),
        (paramiko.SSHException("Timeout opening channel."), "could not reach gpu01:22"),
    ],
)
def test_a_jump_host_that_leads_nowhere_is_told(lab: Lab, problem: Exception, message: str) -> None:
    explained = no_forwarding("h1", lab.endpoint(22, hostname="gpu01"), problem)

    assert message in str(explained)


@contextlib.contextmanager
def _tunnel(server: SSHServer, **more: object) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(server.port, **more)) as tunnel:  # type: ignore[arg-type]
        yield tunnel


def test_who_was_turned_away_comes_again_and_the_gate_narrows(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])

    with _tunnel(server, refusals=2) as tunnel:
        lab.dial(tunnel.port, HostKeys.ACCEPT_NEW).close()

        assert tunnel.visitors == 3
        assert pacing.gate("127.0.0.1", tunnel.port).limit == pacing.LOGINS_AT_ONCE // 4


def test_a_connection_waits_for_its_turn_before_the_server_sees_it(
    lab: Lab, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(limit=1)
    monkeypatch.setattr(pacing, "gate", lambda _hostname, _port: gate)
    server = serve(accepted=[lab.client_key.asbytes()])

    with _tunnel(server) as tunnel:
        with gate.turn():
            dialling = threading.Thread(
                target=lambda: lab.dial(tunnel.port, HostKeys.ACCEPT_NEW).close()
            )
            dialling.start()
            time.sleep(0.2)
            assert tunnel.visitors == 0
        dialling.join()
        assert tunnel.visitors == 1


_NETCAT = """
import os, socket, sys, threading
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536): sock.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := sock.recv(65536): os.write(1, data)
"""


def test_a_proxy_command_leads_to_the_server(lab: Lab, serve: Serve) -> None:
    server = serve(accepted=[lab.client_key.asbytes()])
    command = shlex.join([sys.executable, "-S", "-c", _NETCAT, str(server.port)])

    dialled = lab.dial(22, HostKeys.ACCEPT_NEW, hostname="gpu01.invalid", proxy_command=command)
    assert dialled.transport.is_authenticated()
    dialled.close()


def test_a_proxy_command_that_fails_is_told_in_its_own_words(lab: Lab) -> None:
    with pytest.raises(
        UnreachableError, match=r"the proxy command to gpu01:22 failed: no way there"
    ):
        lab.dial(22, hostname="gpu01", proxy_command="sh -c 'echo no way there >&2; exit 1'")


def test_a_proxy_command_that_stays_is_ended(lab: Lab) -> None:
    stubborn = "sh -c 'trap \"\" TERM; while :; do sleep 1; done'"
    began = time.monotonic()

    with pytest.raises(UnreachableError, match="did not answer within"):
        lab.dial(22, connect_timeout=0.2, proxy_command=stubborn)

    assert time.monotonic() - began < 8


def test_algorithms_that_sign_with_sha1_are_never_agreed_on(
    lab: Lab, serve: Serve, host_keys: dict[str, paramiko.PKey]
) -> None:
    server = serve(keys=[host_keys["rsa"]], accepted=[lab.client_key.asbytes()])

    dialled = lab.dial(server, HostKeys.ACCEPT_NEW)

    assert dialled.transport.host_key_type in ("rsa-sha2-512", "rsa-sha2-256")
    dialled.close()
