# SPDX-License-Identifier: Apache-2.0
"""How exchanges with a host's shell are told apart from everything else it may print.

A login shell may print what it likes before ours starts, and what a host says is not to be trusted:
so each answer ends with a marker that nobody could have guessed, and nothing is collected without
a limit.
"""

from __future__ import annotations

import re
import secrets

import attrs

MAX_ANSWER = 1024 * 1024
"""Bytes of one stream of one answer; more is refused."""

MAX_NOISE = 256 * 1024
"""Bytes that a login shell may print before ours answers."""

_MAX_STATUS_LINE = 16
_STATUS = re.compile(rb"[0-9]{1,3}")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

COMMAND = "exec /bin/sh -s"
"""What every channel executes: the same words in every login shell there is."""

SETTINGS = (
    # Bash as /bin/sh takes over options and aliases that a login shell exports.
    "set +efuvx\nunalias -a 2>/dev/null\n"
    "umask 077\nunset ENV CDPATH TMOUT BASH_ENV GREP_OPTIONS\nLC_ALL=C\nexport LC_ALL\n"
    f"PATH=${{PATH:+$PATH:}}{_PATH}\nexport PATH\n"
).encode()
"""Shell text that makes every host's shell behave alike."""


class AnswerError(Exception):
    """The other side does not keep to the framing; its words say how."""


class AnswerTooLargeError(AnswerError):
    """The other side sent more than it may."""

    def __init__(self) -> None:
        super().__init__("more than 1 MiB")


def nonce() -> bytes:
    """Return a marker that cannot be guessed."""
    return b"mlcr-" + secrets.token_hex(16).encode()


def preamble(marker: bytes, *, waits: bool = False) -> bytes:
    """Return the text that makes a shell ours: known settings, then the marker on both streams.

    Args:
        marker: What to print.
        waits: The shell then executes one line, which it reads byte by byte: whatever follows that
            line is the command's own input, or more text. Nothing may be sent before the marker has
            come, for until then a shell reads as much as there is.
    """
    # In two parts, so that something that only echoes its input is not taken for a shell.
    start, rest = marker[:5].decode(), marker[5:].decode()
    greeting = (
        f"printf '%s%s\\n' '{start}' '{rest}' >&2\nprintf '%s%s\\n' '{start}' '{rest}'\n"
    ).encode("ascii")
    if not waits:
        return SETTINGS + greeting
    # One command to the shell, which has read all of it before it prints the marker.
    return SETTINGS + b"{\n" + greeting + b'IFS= read -r mlcr_line\neval "$mlcr_line"\n}\n'


def framed(call: bytes, marker: bytes) -> bytes:
    """Return shell text that makes a call in a subshell and marks the end of its answer."""
    return (
        b"(\n" + call + b"\n) </dev/null\n"
        b"printf '\\n%s %d\\n' '" + marker + b"' $?\nprintf '\\n%s \\n' '" + marker + b"' >&2\n"
    )


@attrs.define
class _Collected:
    """The bytes of one stream up to the line that begins with the marker."""

    ending: bytes
    data: bytearray = attrs.field(factory=bytearray, init=False)
    rest: bytes | None = attrs.field(default=None, init=False)
    """What stands behind the marker on its line; ``None`` until that has come."""
    _at: int = attrs.field(default=-1, init=False)

    def feed(self, data: bytes) -> None:
        if self.rest is not None:
            # A process that the call left behind still writes; that is no part of the answer.
            return
        searched = max(0, len(self.data) - len(self.ending) + 1)
        self.data += data
        if self._at < 0:
            self._at = self.data.find(self.ending, searched)
        length = len(self.data) if self._at < 0 else self._at
        if length > MAX_ANSWER + len(self.ending):
            raise AnswerTooLargeError
        if self._at < 0:
            return
        start = self._at + len(self.ending)
        end = self.data.find(b"\n", start, start + _MAX_STATUS_LINE)
        if end >= 0:
            self.rest = bytes(self.data[start:end])
            del self.data[self._at :]
        elif len(self.data) - start >= _MAX_STATUS_LINE:
            raise AnswerError("no status")


@attrs.define
class Answer:
    """Collects one answer from two streams of bytes."""

    marker: bytes
    _out: _Collected = attrs.field(init=False)
    _err: _Collected = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        ending = b"\n" + self.marker + b" "
        self._out, self._err = _Collected(ending), _Collected(ending)

    @property
    def stdout(self) -> bytes:
        """What the call wrote to standard output."""
        return bytes(self._out.data)

    @property
    def stderr(self) -> bytes:
        """What the call wrote to standard error."""
        return bytes(self._err.data)

    def feed_stdout(self, data: bytes) -> None:
        """Take bytes of standard output.

        Raises:
            AnswerError: There are too many of them, or the status is none.
        """
        self._out.feed(data)
        if self._out.rest is not None and not (
            _STATUS.fullmatch(self._out.rest) and int(self._out.rest) <= 255
        ):
            raise AnswerError(f"the status {self._out.rest!r}")

    def feed_stderr(self, data: bytes) -> None:
        """Take bytes of standard error.

        Raises:
            AnswerError: There are too many of them.
        """
        self._err.feed(data)

    @property
    def code(self) -> int | None:
        """The call's status once both streams have ended."""
        if self._out.rest is None or self._err.rest is None:
            return None
        return int(self._out.rest)


@attrs.define
class Greeting:
    """Waits for a stream's first marker; what comes before is the login shell's noise."""

    marker: bytes
    noise: bytearray = attrs.field(factory=bytearray)

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return those that follow the marker once it has come, else ``None``.

        Raises:
            AnswerTooLargeError: The noise does not end.
        """
        self.noise += data
        found, separator, rest = bytes(self.noise).partition(self.marker + b"\n")
        if len(found) > MAX_NOISE:
            raise AnswerTooLargeError
        if separator:
            self.noise[:] = found
            return rest
        return None

    @property
    def shown(self) -> str:
        """The first 80 bytes of noise, for a message."""
        return repr(bytes(self.noise[:80]))[1:]
