# SPDX-License-Identifier: Apache-2.0
"""Speak with the control master of ``ssh`` on its socket, as OpenSSH's PROTOCOL.mux defines.

A session costs no process and no login. The master reports the exit status, and each refusal.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import attrs

_VERSION = 4
_HELLO = 0x00000001
_NEW_SESSION = 0x10000002
_ALIVE_CHECK = 0x10000004
_TERMINATE = 0x10000005
_PERMISSION_DENIED = 0x80000002
_FAILURE = 0x80000003
_EXIT_MESSAGE = 0x80000004
_ALIVE = 0x80000005
_SESSION_OPENED = 0x80000006

_REQUEST_ID = 1
_NO_ESCAPE = 0xFFFFFFFF
_MAX_MESSAGE = 256 * 1024

CHECK_TIMEOUT_S = 5.0
"""Timeout for an answer of the master itself, without the host."""


class MuxError(Exception):
    """There is no master at the socket, or it does not follow the protocol."""


class MuxRefusedError(Exception):
    """The master refused the request; the message has its words."""


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@attrs.define
class MuxClient:
    """A connection to a master's socket."""

    sock: socket.socket
    _received: bytearray = attrs.field(factory=bytearray, init=False)

    @classmethod
    def connect(cls, path: str | os.PathLike[str]) -> MuxClient:
        """Connect to a master.

        Raises:
            MuxError: There is none, or it speaks another version of the protocol.
        """
        sock = socket.socket(socket.AF_UNIX)
        client = cls(sock)
        try:
            sock.settimeout(CHECK_TIMEOUT_S)
            sock.connect(os.fspath(path))
            client.send(struct.pack(">II", _HELLO, _VERSION))
            hello = client.receive()
        except OSError as problem:
            sock.close()
            raise MuxError(f"{path}: {problem.strerror or problem}") from problem
        except MuxError:
            sock.close()
            raise
        if hello[:8] != struct.pack(">II", _HELLO, _VERSION):
            sock.close()
            raise MuxError(f"{path}: another version of the protocol")
        return client

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.sock.sendall(_string(message))

    def receive(self) -> bytes:
        """Return the next message.

        Raises:
            TimeoutError: It is not complete in time; the next call continues.
            MuxError: The master has closed the connection.
        """
        while True:
            if len(self._received) >= 4:
                (size,) = struct.unpack_from(">I", self._received)
                if size > _MAX_MESSAGE:
                    raise MuxError(f"a message of {size} bytes")
                if len(self._received) >= 4 + size:
                    message = bytes(self._received[4 : 4 + size])
                    del self._received[: 4 + size]
                    return message
            try:
                data = self.sock.recv(4096)
            except ConnectionError as problem:
                raise MuxError(str(problem)) from problem
            if not data:
                raise MuxError("the master closed its socket")
            self._received += data

    def open_session(
        self, command: str, streams: tuple[int, ...], terminal: str | None = None
    ) -> None:
        """Start a command whose standard streams are the given descriptors.

        Args:
            command: Text for the login shell.
            streams: Standard input, output and error.
            terminal: Type of the terminal that the streams are; ``None``: they are none.

        Raises:
            TimeoutError: The host does not answer.
            MuxRefusedError: The host allows no further session, or the master refused it.
            MuxError: The master ended.
        """
        flags = struct.pack(">5I", int(terminal is not None), 0, 0, 0, _NO_ESCAPE)
        head = struct.pack(">II", _NEW_SESSION, _REQUEST_ID) + _string(b"") + flags
        try:
            self.send(head + _string((terminal or "").encode()) + _string(command.encode()))
            for stream in streams:
                socket.send_fds(self.sock, [b"\0"], [stream])
        except ConnectionError as problem:
            raise MuxError(str(problem)) from problem
        self._expect(_SESSION_OPENED)

    def _expect(self, expected: int) -> bytes:
        """Return the content of the answer to a request."""
        message = self.receive()
        if len(message) < 8:
            raise MuxError("a truncated message")
        (kind,) = struct.unpack_from(">I", message)
        if kind in {_FAILURE, _PERMISSION_DENIED}:
            raise MuxRefusedError(message[12:].decode("utf-8", "replace"))
        if kind != expected:
            raise MuxError(f"an unexpected message {kind:#x}")
        return message[8:]

    def wait_for_status(self) -> int:
        """Return the exit status of the session.

        Raises:
            TimeoutError: It does not arrive in time.
            MuxError: The session has ended without one.
        """
        while True:
            message = self.receive()
            if len(message) >= 12 and struct.unpack_from(">I", message)[0] == _EXIT_MESSAGE:
                return int(struct.unpack_from(">I", message, 8)[0])

    def close(self) -> None:
        """Close the connection; a session on it ends."""
        self.sock.close()


def find_master(path: str | os.PathLike[str]) -> int | None:
    """Return the process id of the master at a socket; ``None``: there is none that answers."""
    if not Path(path).is_socket():
        return None
    try:
        client = MuxClient.connect(path)
    except MuxError:
        return None
    try:
        client.send(struct.pack(">II", _ALIVE_CHECK, _REQUEST_ID))
        answer = client._expect(_ALIVE)  # noqa: SLF001 - in the same module
        return int(struct.unpack_from(">I", answer)[0])
    except (OSError, MuxError, MuxRefusedError, struct.error):
        return None
    finally:
        client.close()


def end_master(path: str | os.PathLike[str]) -> None:
    """Ask the master at a socket to end, with all its sessions.

    The user's own master is never given to this function.
    """
    try:
        client = MuxClient.connect(path)
    except MuxError:
        return
    try:
        client.send(struct.pack(">II", _TERMINATE, _REQUEST_ID))
        client.receive()
    except (OSError, MuxError):
        # It may end before it answers.
        return
    finally:
        client.close()
