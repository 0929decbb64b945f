# SPDX-License-Identifier: Apache-2.0
"""An SSH server on a loopback port that behaves as a test wants, even hostile.

Tests in tests/integration use real hosts. This server does what a real sshd cannot do.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import paramiko

from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, HostKeys
from mlcube_remote.transport.credentials import Credentials
from mlcube_remote.transport.paramiko_link import open_paramiko_link
from mlcube_remote.transport.ssh import SSHConnection
from mlcube_remote.transport.ssh_transport import (
    AuthenticatedTransport,
    ConnectRequest,
    open_transport,
)

Session = Callable[[paramiko.Channel], None]
"""Plays the shell of one session; the channel is closed when it returns."""

FIRST_MARKER = re.compile(rb"printf '%s%s\\n' '(mlcr-)' '([0-9a-f]+)'\n")
"""The two halves of the first marker."""

_MARKER = re.compile(rb"'\\n%s %d\\n' '(mlcr-[0-9a-f]+)'")

BOTH_MARKERS = re.compile(FIRST_MARKER.pattern + rb"(?s:.*?)" + _MARKER.pattern)
"""The same, and the marker of the first answer."""


def read_until(channel: paramiko.Channel, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
    """Read what the client sends until the pattern is in it."""
    text = b""
    while not (match := pattern.search(text)):
        data = channel.recv(65536)
        if not data:
            raise EOFError
        text += data
    return match


def start_shell(channel: paramiko.Channel) -> bytes:
    """Act as a normal shell until the first call; return the marker for its answer."""
    match = read_until(channel, BOTH_MARKERS)
    ready = match[1] + match[2] + b"\n"
    channel.sendall_stderr(ready)
    channel.sendall(ready)
    return match[3]


def cut(channel: paramiko.Channel) -> None:
    """Cut the whole connection."""
    assert channel.transport is not None
    channel.transport.close()


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: SSHServer) -> None:
        self.server = server

    def get_allowed_auths(self, _username: str) -> str:
        return ",".join(self.server.methods)

    def check_auth_none(self, _username: str) -> int:
        self.server.attempts.append("none")
        return paramiko.common.AUTH_FAILED

    def check_auth_publickey(self, _username: str, key: paramiko.PKey) -> int:
        self.server.attempts.append(f"publickey {key.get_base64()}")
        if len(self.server.attempts) == self.server.cuts_at:
            self.server.transports[-1].sock.shutdown(socket.SHUT_RDWR)
        if key.asbytes() not in self.server.accepted:
            return paramiko.common.AUTH_FAILED
        if len(self.server.methods) > 1 and self.server.requires_all:
            return paramiko.common.AUTH_PARTIALLY_SUCCESSFUL
        return paramiko.common.AUTH_SUCCESSFUL

    def check_auth_password(self, _username: str, password: str) -> int:
        self.server.attempts.append("password")
        is_right = password == self.server.password
        return paramiko.common.AUTH_SUCCESSFUL if is_right else paramiko.common.AUTH_FAILED

    def check_auth_interactive(
        self, _username: str, _submethods: str
    ) -> int | paramiko.server.InteractiveQuery:
        self.server.attempts.append("keyboard-interactive")
        self._rounds = iter(self.server.rounds)
        return self._next_round() or paramiko.common.AUTH_FAILED

    def _next_round(self) -> paramiko.server.InteractiveQuery | None:
        questions = next(self._rounds, None)
        if questions is None:
            return None
        return paramiko.server.InteractiveQuery("", self.server.about, *questions)

    def check_auth_interactive_response(
        self, responses: list[str]
    ) -> int | paramiko.server.InteractiveQuery:
        self.server.answers += responses
        if query := self._next_round():
            return query
        expected = self.server.expected or [self.server.password]
        is_right = self.server.answers[-len(expected) :] == expected
        return paramiko.common.AUTH_SUCCESSFUL if is_right else paramiko.common.AUTH_FAILED

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        self.server.opened += 1
        if self.server.opened in self.server.refuses:
            return paramiko.common.OPEN_FAILED_RESOURCE_SHORTAGE
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.commands.append(command)
        if self.server.session is None:
            return False
        # The reply to the request must be sent before the session starts.
        threading.Timer(0.05, self.server.play, (channel,)).start()
        return True


@attrs.define
class SSHServer:
    """A server on a port of its own."""

    keys: Sequence[paramiko.PKey]
    """Host keys."""
    session: Session | None = None
    accepted: list[bytes] = attrs.field(factory=list)
    """Public keys that the server accepts."""
    methods: tuple[str, ...] = ("publickey",)
    requires_all: bool = False
    """Whether a password is required in addition to a key."""
    password: str | None = None
    rounds: Sequence[Sequence[tuple[str, bool]]] = ((("Code: ", False),),)
    """The questions of keyboard-interactive, and whether their answers may be shown."""
    about: str = ""
    """What the server says before its questions."""
    expected: Sequence[str | None] = ()
    """The right answers to the questions; by default the password."""
    cuts_at: int | None = None
    """Number of the login attempt at which the server cuts the connection."""
    version: str | None = None
    """What the server says it is; by default Paramiko."""
    refuses: Sequence[int] = ()
    """Numbers of the sessions that the server refuses, from 1."""
    opened: int = attrs.field(default=0, init=False)
    """Number of sessions that clients have asked for."""
    attempts: list[str] = attrs.field(factory=list, init=False)
    """The logins that clients tried."""
    answers: list[str] = attrs.field(factory=list, init=False)
    """All answers to questions."""
    commands: list[bytes] = attrs.field(factory=list, init=False)
    transports: list[paramiko.Transport] = attrs.field(factory=list, init=False)
    _listener: socket.socket = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port = self._listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(sock)
            transport.local_version = self.version or transport.local_version
            for key in self.keys:
                transport.add_server_key(key)
            self.transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=_Rules(self), event=threading.Event())

    def play(self, channel: paramiko.Channel) -> None:
        assert self.session is not None
        with contextlib.suppress(OSError, EOFError), contextlib.closing(channel):
            self.session(channel)

    def close(self) -> None:
        # A thread in accept(2) wakes up at shutdown, not at close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self.transports:
            transport.close()


@attrs.define
class Tunnel:
    """Forwards to a port. When frozen, it drops all bytes but keeps the connections open.

    The first ``refusals`` connections get ``refusal`` and are closed.
    """

    target: int
    refusals: int = 0
    refusal: bytes = b"Exceeded MaxStartups\r\n"
    connections: int = attrs.field(default=0, init=False)
    _frozen: threading.Event = attrs.field(factory=threading.Event, init=False)
    _listener: socket.socket = attrs.field(init=False)
    _sockets: list[socket.socket] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port = self._listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def freeze(self) -> None:
        self._frozen.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            self.connections += 1
            if self.connections <= self.refusals:
                threading.Thread(target=self._refuse, args=(near,), daemon=True).start()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self._sockets.append(far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _refuse(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.sendall(self.refusal)
            near.shutdown(socket.SHUT_WR)
            while near.recv(4096):
                pass

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._frozen.is_set():
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


Serve = Callable[..., SSHServer]
"""Starts a server with a session and more of its attributes."""


@attrs.define
class Lab:
    """A client's files, and helpers to connect to a server."""

    folder: Path
    client_key: paramiko.PKey
    credentials: Credentials = Credentials()
    notes: list[str] = attrs.field(factory=list, init=False)

    @property
    def identity(self) -> Path:
        return self.folder / "id_client"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def endpoint(self, port: int, **more: Any) -> Endpoint:
        plain = Endpoint(
            hostname="127.0.0.1",
            port=port,
            user="me",
            identity_files=(str(self.identity),),
            identity_agent="none",
            user_known_hosts_files=(str(self.known_hosts),),
        )
        return attrs.evolve(plain, **more)

    def log_in(
        self, server: SSHServer | int, policy: HostKeys = HostKeys.STRICT, **more: Any
    ) -> AuthenticatedTransport:
        """Log in to a server, or to a port."""
        port = server if isinstance(server, int) else server.port
        request = ConnectRequest(host="h1", credentials=self.credentials, note=self.notes.append)
        return open_transport(self.endpoint(port, host_keys=policy, **more), request)

    @contextlib.contextmanager
    def connected(
        self, server: SSHServer, *, keepalive: float = 0, via: int | None = None
    ) -> Iterator[SSHConnection]:
        """Log in and trust the server; ``via`` is a port that forwards to it."""
        server.accepted.append(self.client_key.asbytes())
        host = Host(name="h1", keepalive=keepalive)
        endpoint = self.endpoint(via or server.port, host_keys=HostKeys.ACCEPT_NEW)
        connection = SSHConnection.open(
            host,
            partial(open_paramiko_link, host, endpoint, Credentials(), self.notes.append),
            self.notes.append,
        )
        with contextlib.closing(connection):
            yield connection
