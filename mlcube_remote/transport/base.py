# SPDX-License-Identifier: Apache-2.0
"""The interface between the pipeline and SSH.

A :class:`Connection` runs functions of the shell library in ``mlcube_remote/remote`` on one host,
and runs rsync against it. Code above this interface uses functions and byte strings; only code
below it knows SSH. :mod:`mlcube_remote.transport.fake` is a scripted implementation for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from mlcube_remote.transport.standard_streams import StandardStreams


class Stream(Enum):
    """An output stream of a program."""

    STDOUT = "stdout"
    STDERR = "stderr"


OutputSink = Callable[[Stream, bytes], None]
"""Receives bytes as they arrive, in order per stream. Called from one thread at a time."""

Timeout = Callable[[], float | None]
"""Returns seconds, or ``None`` for no limit; it is called again whenever something has changed."""


@attrs.frozen
class Reply:
    """The result of a call."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether the function returned 0."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become lone surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def message(self) -> str:
        """Standard error as text for messages; ``status N`` if it is empty."""
        return self.stderr.decode("utf-8", "replace").strip() or f"status {self.code}"

    def records(self) -> list[tuple[str, str]]:
        """Split standard output into its records, each ``KEY=VALUE`` with NUL at the end.

        Returns:
            Pairs of key and value, in order; a key may occur several times.
        """
        parts = self.text.split("\0")[:-1]
        return [(key, value) for key, _, value in (part.partition("=") for part in parts)]


@attrs.frozen
class RsyncResult:
    """The result of an rsync."""

    code: int
    """Exit status of the rsync on this machine."""
    stdout: bytes
    stderr: bytes
    """Messages of both sides, up to a maximum size."""


class Connection(Protocol):
    """An SSH connection to one host, or its equivalent on this machine.

    All methods can be called from several threads. They raise a
    :class:`~mlcube_remote.errors.HostError`, never an exception of an SSH library; if the
    connection breaks, a :class:`~mlcube_remote.errors.StateUnknownError`.
    """

    @property
    def name(self) -> str:
        """The host's inventory name."""
        ...

    def call(
        self,
        function: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """Call a function of the shell library on the host, and wait for its answer.

        Args:
            function: Name of a function in ``mlcube_remote/remote/*.sh``.
            args: Its positional parameters, transmitted byte for byte (NUL is refused).
            env: Variables for this call only. They are sent on standard input, never in argv.
            timeout: Maximum time in seconds for the complete answer.

        Returns:
            The function's status and output; more than 1 MiB of output is an error.

        Raises:
            HostError: See :class:`Connection`.
            ValueError: A name is invalid, or a value contains NUL.
        """
        ...

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,
    ) -> int:
        """Call a function on a channel of its own, and pass on its output as it arrives.

        Args:
            function: As for :meth:`call`.
            args: As for :meth:`call`.
            sink: Receives every byte of both streams.
            env: As for :meth:`call`.
            timeout: Returns the maximum time in seconds without any output, which may change;
                ``None``: no maximum.

        Returns:
            The function's status.

        Raises:
            HostError: See :class:`Connection`.
            ValueError: As for :meth:`call`.
        """
        ...

    def interact(self, function: str, *args: str, terminal: StandardStreams) -> int:
        """Call a function that has the standard streams of this process.

        Args:
            function: As for :meth:`call`. It reads what the user types.
            args: As for :meth:`call`; other users of the host can see them.
            terminal: The streams.

        Returns:
            The function's status.

        Raises:
            HostError: See :class:`Connection`.
            ValueError: As for :meth:`call`.
        """
        ...

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> RsyncResult:
        """Run this machine's rsync against the host, over this connection.

        Args:
            args: The arguments of ``rsync``. Remote paths are written ``host:PATH``, literally with
                the word ``host``. The option for the remote shell is added.
            stdin: Standard input, such as the list for ``--files-from=-``.
            on_stdout: Receives standard output as it arrives, for progress. The result then
                contains none.
            watch: Called about ten times a second; an error that it raises ends rsync.

        Raises:
            AbortedTransferError: rsync was slower than the host's ``min_rate`` for too long.
            HostError: See :class:`Connection`. Also, if the host is this machine: its jobs run in
                place, so there is nothing to copy.
        """
        ...

    def expect_channel(self) -> None:
        """Open a channel in the background for the next :meth:`stream` or :meth:`rsync`.

        A login shell may take long to start; this saves the time.
        """
        ...

    def close(self) -> None:
        """Close the connection; a second call has no effect."""
        ...
