# SPDX-License-Identifier: Apache-2.0
"""The socket below an SSH transport. It records the server's first bytes and the last arrival."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import cast

import attrs
import paramiko

_MAX_BANNER = 16 * 1024
"""Maximum number of bytes up to the end of the server's SSH identification."""

_IDENTIFICATION = re.compile(rb"^SSH-[^\n]*\n", re.MULTILINE)

_RECEIVE_TIMEOUT_S = 1.0
"""Timeout of each wait for bytes. Paramiko would wake up ten times a second."""


@attrs.define
class MonitoredSocket:
    """A socket, or a channel through a jump host, that records what it receives."""

    carrier: socket.socket | paramiko.Channel
    banner: bytes = attrs.field(default=b"", init=False)
    """The first bytes from the server, up to its SSH identification."""
    last_received: float = attrs.field(factory=time.monotonic, init=False)
    """Time of the last byte, on the monotonic clock."""
    is_ended: bool = attrs.field(default=False, init=False)
    """Whether the connection was closed by the server, or broke."""
    _is_identified: bool = attrs.field(default=False, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    """Paramiko reads this attribute of sockets."""

    def for_paramiko(self) -> socket.socket:
        """Return this object with the type that Paramiko's stubs expect."""
        return cast("socket.socket", self)

    def recv(self, count: int) -> bytes:
        """Receive as a socket does.

        Raises:
            OSError: The connection broke, or the server sent too much without being an SSH server.
        """
        try:
            data = self.carrier.recv(count)
        except TimeoutError:
            raise
        except OSError:
            self.is_ended = True
            raise
        self.last_received = time.monotonic()
        self.is_ended = self.is_ended or not data
        if not self._is_identified:
            self.banner += data
            self._is_identified = _IDENTIFICATION.search(self.banner) is not None
            if not self._is_identified and len(self.banner) > _MAX_BANNER:
                raise OSError("no SSH server")
        return data

    def send(self, data: bytes) -> int:
        """Send as a socket does."""
        try:
            return self.carrier.send(data)
        except ConnectionError:
            self.is_ended = True
            raise

    def settimeout(self, _seconds: float | None) -> None:
        """Set a long timeout, whatever Paramiko asks for: :meth:`close` ends a wait at once."""
        self.carrier.settimeout(_RECEIVE_TIMEOUT_S)

    def close(self) -> None:
        """Close the socket; a thread that waits for bytes wakes up at once."""
        self._closed = True
        with contextlib.suppress(OSError, EOFError):
            self.carrier.shutdown(socket.SHUT_RDWR)
        self.carrier.close()

    @property
    def refusal(self) -> str:
        """The first line that the server sent instead of SSH, printable; empty if there is none."""
        if b"SSH-" in self.banner and len(self.banner) <= _MAX_BANNER:
            return ""
        line = self.banner.strip().partition(b"\n")[0].strip()[:80]
        return repr(line)[2:-1] if line else ""
