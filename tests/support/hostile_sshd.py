# SPDX-License-Identifier: Apache-2.0
"""Servers that break the SSH protocol, and a client with short timeouts."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import paramiko
import pytest

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, HostKeys
from mlcube_remote.secret import Secret
from mlcube_remote.transport import attempts
from mlcube_remote.transport import channel as channel_module
from mlcube_remote.transport import sessions as sessions_module
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.paramiko_link import open_paramiko_link
from mlcube_remote.transport.ssh import SSHConnection

ESCAPES = b"\x1b]0;pwned\x07\x1b[2J"
"""What a terminal must not get from a server."""

TIMEOUT_S = 2.0
"""The timeout of each step of a login."""

MAX_S = 4 * TIMEOUT_S + 4
"""Two attempts with two timeouts each, and some time for a slow machine."""

MAX_GROWTH = 120 * 1024
"""Memory in KiB that a client may need more; a window is 16 MiB."""

_HOST_KEY = paramiko.ECDSAKey.generate()


def shorten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client wait seconds where it waits a minute."""
    monkeypatch.setattr(attempts, "RETRY_DELAY_S", 0.01)
    monkeypatch.setattr(attempts, "MAX_RETRY_DELAY_S", 0.01)
    monkeypatch.setattr(channel_module, "READY_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(sessions_module, "_OPEN_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(sessions_module, "_SHORT_TIMEOUT_S", TIMEOUT_S)


@attrs.define
class Client:
    """Logs in with a key and a password, and trusts any server."""

    folder: Path

    def __attrs_post_init__(self) -> None:
        paramiko.RSAKey.generate(2048).write_private_key_file(str(self.folder / "id"))

    def connect(self, port: int) -> SSHConnection:
        endpoint = Endpoint(
            hostname="127.0.0.1",
            port=port,
            user="me",
            identity_files=(str(self.folder / "id"),),
            identity_agent="none",
            user_known_hosts_files=(str(self.folder / f"known_hosts_{port}"),),
            connect_timeout=TIMEOUT_S,
            host_keys=HostKeys.ACCEPT_NEW,
        )
        host = Host(name="h1", keepalive=0)
        credentials = Credentials(password=Secret("secret"))
        notes: list[str] = []
        return SSHConnection.open(
            host,
            lambda: open_paramiko_link(host, endpoint, credentials, notes.append),
            notes.append,
        )


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Check the time and the memory of a block."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    yield
    assert time.monotonic() - started < MAX_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_GROWTH


def check_message(error: HostError) -> None:
    """Check that the message is printable, short, and not that of a bug."""
    assert re.search(r"[\x00-\x1f\x7f-\x9f]", str(error)) is None
    assert len(str(error)) < 1000
    assert error.hint
    assert error.exit_code in (120, 122, 123)
    assert "secret" not in "".join(traceback.format_exception(error))


@attrs.define
class _Server(ABC):
    """Listens on a port of this machine, and admits clients until it is closed."""

    listener: socket.socket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.admit(self.listener.accept()[0])

    @abstractmethod
    def admit(self, sock: socket.socket) -> None:
        """Start to serve a client, and return."""


Play = Callable[[socket.socket], None]


@attrs.define
class SocketServer(_Server):
    """Plays the same to each client."""

    play: Play
    sockets: list[socket.socket] = attrs.field(factory=list, init=False)

    def admit(self, sock: socket.socket) -> None:
        self.sockets.append(sock)
        threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            self.play(sock)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    def close(self) -> None:
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@attrs.define
class LoginServer(_Server):
    """Exchanges keys, and then sends what a test says at one of the later stages."""

    at_login: Callable[[paramiko.Transport], None] = lambda _transport: None
    """Called when the client asks for the login."""
    at_session: Callable[[paramiko.Transport, paramiko.Channel], None] | None = None
    """Called when the client asks for a command; ``None``: no login succeeds."""
    is_silent: bool = False
    """Whether the request for a command gets no answer."""
    transports: list[paramiko.Transport] = attrs.field(factory=list, init=False)

    def admit(self, sock: socket.socket) -> None:
        transport = paramiko.Transport(sock)
        transport.add_server_key(_HOST_KEY)
        self.transports.append(transport)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=_Rules(self, transport), event=threading.Event())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for transport in self.transports:
            transport.close()


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: LoginServer, transport: paramiko.Transport) -> None:
        self.server = server
        self.transport = transport

    def get_allowed_auths(self, _username: str) -> str:
        self.server.at_login(self.transport)
        return "publickey,password,keyboard-interactive" + ESCAPES.decode()

    def check_auth_publickey(self, _username: str, _key: paramiko.PKey) -> int:
        is_open = self.server.at_session is not None
        return paramiko.common.AUTH_SUCCESSFUL if is_open else paramiko.common.AUTH_FAILED

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, _command: bytes) -> bool:
        assert self.server.at_session is not None
        threading.Thread(
            target=_play_session,
            args=(self.server.at_session, self.transport, channel),
            daemon=True,
        ).start()
        if self.server.is_silent:
            time.sleep(3 * TIMEOUT_S)
        return True


def _play_session(
    play: Callable[[paramiko.Transport, paramiko.Channel], None],
    transport: paramiko.Transport,
    channel: paramiko.Channel,
) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        play(transport, channel)
