# SPDX-License-Identifier: Apache-2.0
"""The one seam between the pipeline and the wire.

A :class:`Connection` runs functions of the shell library in ``mlcube_remote/remote`` on one host
and lends itself to rsync. Everything above this seam speaks of functions and byte strings;
everything that knows SSH is below it. :mod:`mlcube_remote.transport.fake` is a scripted one for
tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

import attrs


class Stream(Enum):
    """Which of a program's two output streams bytes came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


OutputSink = Callable[[Stream, bytes], None]
"""Takes bytes as they arrive, in order per stream; called from one thread at a time."""


@attrs.frozen
class Reply:
    """What a call gave back."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether the function returned 0."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 stay recoverable."""
        return self.stdout.decode("utf-8", "surrogateescape")


@attrs.frozen
class RsyncResult:
    """How an rsync ended."""

    code: int
    """Exit status of the rsync on this machine."""
    stdout: bytes
    stderr: bytes
    """Messages of both sides, capped in size."""


class Connection(Protocol):
    """A session with one host, on one SSH connection (or on this machine).

    All methods may be called from several threads. Every method raises a
    :class:`~mlcube_remote.errors.HostError`, never an exception of an SSH library: in particular
    :class:`~mlcube_remote.errors.StateUnknownError` when the connection is lost on the way.
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
        """Call a function of the shell library on the host's one control shell.

        Args:
            function: Name of a function in ``mlcube_remote/remote/*.sh``.
            args: Its positional parameters, arriving byte for byte (NUL is refused).
            env: Variables exported to this one call; handed over on standard input, never in argv.
            timeout: Seconds for the whole answer, until the host counts as not answering.

        Returns:
            The function's status and output; output beyond 1 MiB raises.

        Raises:
            HostError: As above.
            ValueError: Something cannot be passed on: a NUL, an impossible name.
        """
        ...

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> int:
        """Call a function on a channel of its own and pass its output on as it comes.

        Args:
            function: As for :meth:`call`.
            args: As for :meth:`call`.
            sink: Receives every byte of both streams.
            env: Variables exported to the function; handed over on standard input, never in argv.
            timeout: Seconds without any output until the host counts as not answering.

        Returns:
            The function's status.
        """
        ...

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> RsyncResult:
        """Run this machine's rsync against the host over this connection.

        Args:
            args: Everything after ``rsync``; remote paths are written ``host:PATH`` with the
                literal word ``host``. The remote-shell option is added here.
            stdin: For ``--files-from=-`` and the like.
            on_stdout: Receives standard output as it comes, for progress; it is then not collected.
        """
        ...

    def expect_channel(self) -> None:
        """Open a channel ahead: the next :meth:`stream` or :meth:`rsync` will want one.

        A login shell may take long to start; opened early, nobody waits for it.
        """
        ...

    def close(self) -> None:
        """End the session; safe to call twice."""
        ...
