# SPDX-License-Identifier: Apache-2.0
"""The bytes beneath an SSH transport: what they began with, and when one last came."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import cast

import attrs
import paramiko

_MAX_BANNER = 16 * 1024
"""Bytes that a server may send before it says that it speaks SSH."""

_PATIENCE = 1.0
"""Seconds of each wait for bytes; Paramiko would wake up ten times a second."""


@attrs.define
class Wire:
    """A socket, or a channel of a jump host, that listens to what it carries."""

    carrier: socket.socket | paramiko.Channel
    said: bytes = attrs.field(default=b"", init=False)
    """What came before the server said that it speaks SSH, and that."""
    heard_at: float = attrs.field(factory=time.monotonic, init=False)
    """When the last byte came, on the monotonic clock."""
    is_ended: bool = attrs.field(default=False, init=False)
    """Whether the server has closed the connection."""
    _is_greeted: bool = attrs.field(default=False, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def for_paramiko(self) -> socket.socket:
        """Return this object, which is as much of a socket as Paramiko asks for."""
        return cast("socket.socket", self)

    def recv(self, count: int) -> bytes:
        """Receive as a socket does.

        Raises:
            OSError: The connection broke, or a server that does not speak SSH talks on and on.
        """
        try:
            data = self.carrier.recv(count)
        except ConnectionError:
            self.is_ended = True
            raise
        self.heard_at = time.monotonic()
        self.is_ended = not data
        if not self._is_greeted:
            self.said += data
            self._is_greeted = b"SSH-" in self.said
            if len(self.said) > _MAX_BANNER:
                raise OSError("no SSH server")
        return data

    def send(self, data: bytes) -> int:
        """Send as a socket does."""
        return self.carrier.send(data)

    def settimeout(self, _seconds: float | None) -> None:
        """Set how long to wait for bytes; closing wakes up whoever waits, so that is long."""
        self.carrier.settimeout(_PATIENCE)

    def close(self) -> None:
        """Close, so that whoever waits for bytes wakes up at once."""
        self._closed = True
        with contextlib.suppress(OSError, EOFError):
            self.carrier.shutdown(socket.SHUT_RDWR)
        self.carrier.close()

    @property
    def reason(self) -> str:
        """The first line of what the server said instead of SSH, printable, or nothing."""
        if b"SSH-" in self.said:
            return ""
        line = self.said.strip().partition(b"\n")[0].strip()[:80]
        return repr(line)[2:-1] if line else ""
