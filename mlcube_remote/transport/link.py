# SPDX-License-Identifier: Apache-2.0
"""The interface between sessions and an SSH implementation: Paramiko, or the system's ``ssh``.

A link is a connection that is logged in. A session is one command on it, with three streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport.base import Stream

if TYPE_CHECKING:
    from mlcube_remote.transport.standard_streams import StandardStreams


class SessionRefusedError(Exception):
    """The server allows no further session at the moment."""


class Session(Protocol):
    """A running command. One thread may send while another one reads."""

    @property
    def is_closed(self) -> bool:
        """Whether one of the sides has closed the session."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether :meth:`receive` will return no more bytes."""
        ...

    @property
    def is_attached(self) -> bool:
        """Whether the command reads and writes the streams of a terminal without this program."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether the connection below works, as far as is known."""
        ...

    def receive(self, timeout: float) -> list[tuple[Stream, bytes]]:
        """Return the bytes that have arrived; if there are none, wait for some or for the end."""
        ...

    def send(self, data: bytes, timeout: float | None) -> None:
        """Send bytes to the command.

        Args:
            data: The bytes.
            timeout: Maximum time in seconds without any progress; ``None``: no maximum.

        Raises:
            EOFError: The connection broke.
            TimeoutError: The command reads nothing.
            OSError: The command has ended.
        """
        ...

    def end_input(self) -> None:
        """Close the command's standard input.

        Raises:
            EOFError: The connection broke.
        """
        ...

    def wait_for_status(self, timeout: float) -> int | None:
        """Wait for the end, and return the exit status; ``None`` if there is none."""
        ...

    def resize(self, columns: int, lines: int) -> None:
        """Tell the command's terminal, if it has one, the size of its window."""
        ...

    def close(self) -> None:
        """Close the session, whatever its state."""
        ...


class Link(Protocol):
    """A connection that is logged in."""

    def open_session(
        self, command: str, timeout: float, terminal: StandardStreams | None = None
    ) -> Session:
        """Start a command.

        Args:
            command: Text for the login shell.
            timeout: Maximum time in seconds.
            terminal: The terminal that the command gets; ``None``: none.

        Raises:
            SessionRefusedError: The server allows no further session.
            HostUnfitError: It does not run the command.
            StateUnknownError: The connection broke, or the server does not answer.
        """
        ...

    def is_active(self) -> bool:
        """Return whether the connection works, as far as is known."""
        ...

    def close(self) -> None:
        """Close the connection and all its sessions."""
        ...


def connection_lost(host: str) -> StateUnknownError:
    """Return the error for a connection that broke after the login."""
    return StateUnknownError(
        host,
        "connection lost",
        hint="jobs that were started on the host may still run: mlcube-remote ps",
    )
