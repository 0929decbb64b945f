# SPDX-License-Identifier: Apache-2.0
"""How exchanges with a host's shell are told apart from everything else it may print.

A login shell may print what it likes before ours starts, and what a host says is not to be trusted:
so each answer ends with a marker that nobody could have guessed, and nothing is collected without
a limit.
"""

from __future__ import annotations

import secrets

import attrs

MAX_ANSWER = 1024 * 1024
"""Bytes of one stream of one answer; more is refused."""

MAX_NOISE = 256 * 1024
"""Bytes that a login shell may print before ours answers."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

COMMAND = "exec /bin/sh -s"
"""What every channel executes: the same words in every login shell there is."""


class AnswerTooLargeError(Exception):
    """The other side sent more than it may."""


def nonce() -> bytes:
    """Return a marker that cannot be guessed."""
    return b"mlcr-" + secrets.token_hex(16).encode()


def preamble(marker: bytes) -> bytes:
    """Return the text that makes a shell ours: known settings, then the marker on stdout."""
    return (
        b"umask 077\nunset ENV CDPATH TMOUT BASH_ENV GREP_OPTIONS\nLC_ALL=C\n"
        b"export LC_ALL\nPATH=${PATH:+$PATH:}" + _PATH.encode() + b"\nexport PATH\n"
        b"printf '%s\\n' '" + marker + b"'\n"
    )


def framed(call: bytes, marker: bytes) -> bytes:
    """Return shell text that makes a call in a subshell and marks the end of its answer."""
    return (
        b"(\n" + call + b"\n) </dev/null\n"
        b"printf '\\n%s %d\\n' '" + marker + b"' $?\nprintf '\\n%s\\n' '" + marker + b"' >&2\n"
    )


@attrs.define
class Answer:
    """Collects one answer from two streams of bytes."""

    marker: bytes
    stdout: bytearray = attrs.field(factory=bytearray)
    stderr: bytearray = attrs.field(factory=bytearray)
    _code: int | None = attrs.field(default=None, init=False)
    _stderr_done: bool = attrs.field(default=False, init=False)

    def feed_stdout(self, data: bytes) -> None:
        """Take bytes of standard output.

        Raises:
            AnswerTooLargeError: There are too many of them.
        """
        searched = max(0, len(self.stdout) - len(self.marker) - 1)
        self.stdout += data
        at = self.stdout.find(b"\n" + self.marker + b" ", searched)
        if at >= 0:
            line, newline, _ = bytes(self.stdout[at + 1 :]).partition(b"\n")
            if newline:
                self._code = int(line.rpartition(b" ")[2])
                del self.stdout[at:]
        elif len(self.stdout) > MAX_ANSWER:
            raise AnswerTooLargeError

    def feed_stderr(self, data: bytes) -> None:
        """Take bytes of standard error.

        Raises:
            AnswerTooLargeError: There are too many of them.
        """
        searched = max(0, len(self.stderr) - len(self.marker) - 2)
        self.stderr += data
        at = self.stderr.find(b"\n" + self.marker + b"\n", searched)
        if at >= 0:
            self._stderr_done = True
            del self.stderr[at:]
        elif len(self.stderr) > MAX_ANSWER:
            raise AnswerTooLargeError

    @property
    def code(self) -> int | None:
        """The call's status once both streams have ended."""
        return self._code if self._stderr_done else None


@attrs.define
class Greeting:
    """Waits for a shell's first marker; what comes before is the login shell's noise."""

    marker: bytes
    noise: bytearray = attrs.field(factory=bytearray)

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return those that follow the marker once it has come, else ``None``.

        Raises:
            AnswerTooLargeError: The noise does not end.
        """
        self.noise += data
        found, separator, rest = bytes(self.noise).partition(self.marker + b"\n")
        if separator:
            self.noise[:] = found
            return rest
        if len(self.noise) > MAX_NOISE:
            raise AnswerTooLargeError
        return None

    @property
    def shown(self) -> str:
        """The first 80 bytes of noise, for a message."""
        return repr(bytes(self.noise[:80]))[1:]
