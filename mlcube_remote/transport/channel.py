# SPDX-License-Identifier: Apache-2.0
"""A shell on the host, at the other end of one SSH session."""

from __future__ import annotations

import math

import attrs

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Timeout
from mlcube_remote.transport.channel_reader import ChannelReader, Consumer, Timeouts
from mlcube_remote.transport.link import Session, connection_lost

_STATUS_TIMEOUT_S = 10.0
"""Timeout for the exit status of a shell that has closed its streams."""

READY_TIMEOUT_S = 30.0
"""Timeout until our shell is ready: the login shell starts it, and may be slow."""

_HANGS = "the host, or its engine, may hang; the connection itself is open"


def _no_usable_shell(host: str, problem: str) -> HostUnfitError:
    return HostUnfitError(
        host,
        f"does not give a usable shell: {problem}",
        hint="a login shell that runs commands is required: check ForceCommand, nologin and "
        "what ~/.bashrc or ~/.cshrc executes in non-interactive sessions",
    )


def _joined_streams(host: str, problem: framing.JoinedStreamsError) -> HostUnfitError:
    return HostUnfitError(
        host,
        f"does not give a usable shell: {problem}",
        hint="a start-up file or ForceCommand redirects or records the session (exec 2>&1, "
        "script): as the first line of ~/.bashrc, or of the file that does it, write: "
        "case $- in *i*) ;; *) return ;; esac",
    )


@attrs.define
class ShellChannel:
    """A session that runs ``/bin/sh -s``: it takes shell text and returns two streams of bytes.

    Output of the login shell is removed. One thread may send while another one reads.
    """

    host: str
    session: Session
    _reader: ChannelReader = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = ChannelReader(self.session)

    @property
    def is_closed(self) -> bool:
        """Whether one of the sides has closed the session."""
        return self.session.is_closed

    def start(self, text: bytes = b"") -> None:
        """Send the shell its first text, without waiting for it.

        Args:
            text: Shell text to execute at once. If empty, the shell waits for one line after it is
                ready, executes it, and does not read ahead.
        """
        marker = framing.make_marker()
        self._reader.expect(marker)
        self.send(framing.start_shell(marker, read_line=not text) + text)

    def send(self, data: bytes, *, may_stall: bool = False) -> None:
        """Send bytes to the shell.

        Args:
            data: The bytes.
            may_stall: Whether the host may take them as slowly as it likes.

        Raises:
            StateUnknownError: The connection broke, or the host takes nothing.
        """
        try:
            self.session.send(data, None if may_stall else READY_TIMEOUT_S)
        except EOFError as problem:
            raise self.lost() from problem
        except TimeoutError as problem:
            raise StateUnknownError(
                self.host, f"took no input within {READY_TIMEOUT_S:g} s", hint=_HANGS
            ) from problem
        except OSError as problem:
            # If only the shell has ended, the next read reports the reason.
            if not self.session.is_connected:
                raise self.lost() from problem

    def wait_until_ready(self) -> None:
        """Wait until the host runs our shell.

        Raises:
            HostUnfitError: The host runs something else instead of a shell.
            StateUnknownError: The connection broke.
        """
        try:
            is_ready = self._reader.wait_for_marker(
                Timeouts(total_s=READY_TIMEOUT_S, min_rate=math.inf)
            )
            problem = ""
        except framing.AnswerTooLargeError:
            is_ready, problem = False, ""
        except framing.JoinedStreamsError as joined:
            raise _joined_streams(self.host, joined) from joined
        except TimeoutError:
            is_ready, problem = False, f"nothing within {READY_TIMEOUT_S:g} s, "
        if is_ready:
            return
        if not self.session.is_connected:
            raise self.lost()
        raise _no_usable_shell(self.host, f"{problem}got {self._reader.excerpt_of_noise()}")

    def read(
        self, consume: Consumer, *, silence: Timeout | None = None, within: float | None = None
    ) -> bool:
        """Pass on all bytes until ``consume`` returns true or the shell ends; return which.

        Args:
            consume: Receives the bytes.
            silence: Returns the maximum time in seconds without a byte.
            within: Maximum time in seconds, plus the time for the bytes on a very slow link.

        Raises:
            StateUnknownError: A timeout passed.
            AnswerTooLargeError: The login shell printed too much.
        """
        try:
            return self._reader.read(consume, Timeouts(total_s=within, silence=silence))
        except framing.JoinedStreamsError as joined:
            raise _joined_streams(self.host, joined) from joined
        except TimeoutError:
            raise StateUnknownError(
                self.host,
                f"no answer within {within or (silence and silence()) or 0:g} s",
                hint=_HANGS,
            ) from None

    def end_input(self) -> None:
        """Close the shell's standard input.

        Raises:
            StateUnknownError: The connection broke.
        """
        try:
            self.session.end_input()
        except EOFError as problem:
            raise self.lost() from problem

    def end(self, timeout: float) -> None:
        """End the shell, and wait until the server has freed its session."""
        self.end_input()
        self.session.wait_for_status(timeout)
        self.close()

    def wait_for_status(self) -> int:
        """Return the exit status of a shell that has closed its streams.

        Raises:
            StateUnknownError: It has no status: the connection broke, or the shell was killed.
        """
        code = self.session.wait_for_status(_STATUS_TIMEOUT_S)
        if code is not None:
            return code
        if not self.session.is_connected:
            raise self.lost()
        raise StateUnknownError(
            self.host,
            "the shell on the host ended without a status",
            hint="it was killed, or sshd was: check the host's log and its memory",
        )

    def lost(self) -> StateUnknownError:
        """Return the error for a connection that broke."""
        return connection_lost(self.host)

    def close(self) -> None:
        """Close the session."""
        self.session.close()
