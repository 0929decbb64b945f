# SPDX-License-Identifier: Apache-2.0
"""A server that breaks the SSH protocol after the key exchange gets a clean error, soon."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_DATA, cMSG_DISCONNECT, cMSG_EXT_INFO

from mlcube_remote.errors import ConnectError, HostUnfitError, StateUnknownError
from mlcube_remote.transport.ssh import SSHConnection
from tests.support.hostile_sshd import (
    ESCAPES,
    TIMEOUT_S,
    Client,
    LoginServer,
    bounded,
    check_message,
    shorten_times,
)


def _message(kind: bytes, *fields: int | bytes) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(kind)
    for field in fields:
        if isinstance(field, int):
            message.add_int(field)
        else:
            message.add_string(field)
    return message


def _send(*messages: paramiko.Message, times: int = 1) -> Callable[[paramiko.Transport], None]:
    def play(transport: paramiko.Transport) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for _ in range(times):
                for message in messages:
                    transport._send_message(message)  # type: ignore[attr-defined]

    return play


def _cut(transport: paramiko.Transport) -> None:
    transport.sock.shutdown(socket.SHUT_RDWR)


def _hang(_transport: paramiko.Transport) -> None:
    time.sleep(3 * TIMEOUT_S)


AT_LOGIN: dict[str, Callable[[paramiko.Transport], None]] = {
    "a refusal with escapes": lambda _transport: None,
    "a banner of escapes": _send(_message(b"\x35", ESCAPES * 100, b"")),
    "many banners": _send(_message(b"\x35", b"x" * 30_000, b""), times=500),
    "four billion extensions": _send(_message(cMSG_EXT_INFO, 0xFFFFFFFF)),
    "four billion questions": _send(_message(b"\x3c", b"", b"", b"", 0xFFFFFFFF)),
    "a reason of escapes": _send(_message(cMSG_DISCONNECT, 2, ESCAPES, b"")),
    "a closed connection": _cut,
    "no answer": _hang,
    "an empty message": _send(_message(b"\x33")),
    "data of a channel": _send(_message(cMSG_CHANNEL_DATA, 0, b"x")),
    "an unknown message": _send(_message(b"\xc8")),
    "another key exchange": _send(_message(b"\x14", b"x")),
}
"""What the server does when the client asks for the login."""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    shorten_times(monkeypatch)
    return Client(tmp_path)


@pytest.mark.parametrize("at_login", AT_LOGIN.values(), ids=AT_LOGIN)
def test_a_server_that_breaks_the_login(
    client: Client, at_login: Callable[[paramiko.Transport], None]
) -> None:
    with contextlib.closing(LoginServer(at_login)) as server, bounded():
        with pytest.raises(ConnectError) as caught:
            client.connect(server.port)
        check_message(caught.value)
        assert caught.value.exit_code == 120


def _flood(kind: bytes, *fields: int) -> Callable[[paramiko.Transport, paramiko.Channel], None]:
    """Send more data than the window of a channel has, whether the client reads or not."""

    def play(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        message = _message(kind, channel.remote_chanid, *fields, b"x" * 100_000)
        _send(message, times=5_000)(transport)

    return play


def _at_session(
    *messages: paramiko.Message,
) -> Callable[[paramiko.Transport, paramiko.Channel], None]:
    return lambda transport, _channel: _send(*messages)(transport)


AT_SESSION: dict[str, Callable[[paramiko.Transport, paramiko.Channel], None]] = {
    "a flood": _flood(cMSG_CHANNEL_DATA),
    "a flood of errors": _flood(b"\x5f", 1),
    "data of an unknown channel": _at_session(_message(cMSG_CHANNEL_DATA, 77, b"x")),
    "a window that overflows": _at_session(*[_message(b"\x5d", 0, 0xFFFFFFFF)] * 100),
    "a truncated request": _at_session(_message(b"\x62", 0)),
    "a status of four billion": _at_session(
        _message(b"\x62", 0, b"exit-status", 0x00FFFFFF, 0xFF000000)
    ),
    "many channels": _at_session(*[_message(b"\x5a", b"session", 1, 1, 1)] * 1000),
    "requests to the client": _at_session(
        *[_message(b"\x50", b"tcpip-forward\x01" + bytes(100))] * 1000
    ),
    "closed": lambda transport, _channel: _cut(transport),
    "nothing": lambda _transport, _channel: time.sleep(3 * TIMEOUT_S),
}
"""What the server does when the client asks for a command."""


WORK: dict[str, Callable[[SSHConnection], object]] = {
    "call": lambda connection: connection.call("mlcr_print_boot_id", timeout=TIMEOUT_S),
    "stream": lambda connection: connection.stream("mlcr_print_boot_id", sink=lambda _s, _d: None),
    "rsync": lambda connection: connection.rsync(["host:/x", "/nowhere"]),
}


def _check_that_it_fails(
    client: Client, server: LoginServer, work: Callable[[SSHConnection], object]
) -> None:
    with (
        contextlib.closing(server),
        bounded(),
        contextlib.closing(client.connect(server.port)) as connection,
    ):
        with pytest.raises((HostUnfitError, StateUnknownError)) as caught:
            work(connection)
        check_message(caught.value)


@pytest.mark.parametrize("at_session", AT_SESSION.values(), ids=AT_SESSION)
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_server_that_breaks_a_session(
    client: Client,
    at_session: Callable[[paramiko.Transport, paramiko.Channel], None],
    work: Callable[[SSHConnection], object],
) -> None:
    _check_that_it_fails(client, LoginServer(at_session=at_session), work)


def test_a_server_that_never_answers_the_request_for_a_command(client: Client) -> None:
    server = LoginServer(at_session=lambda _transport, _channel: None, is_silent=True)

    _check_that_it_fails(client, server, WORK["call"])


def test_a_window_that_never_opens_does_not_block_a_call(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server grants its first window, and never more.
    monkeypatch.setattr(paramiko.Channel, "_check_add_window", lambda _self, _size: 0)
    server = LoginServer(at_session=lambda _transport, _channel: time.sleep(3 * TIMEOUT_S))

    _check_that_it_fails(
        client,
        server,
        lambda connection: connection.call("mlcr_run_in", "/", "x" * 3_000_000, timeout=TIMEOUT_S),
    )
