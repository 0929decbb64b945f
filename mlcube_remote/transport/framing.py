# SPDX-License-Identifier: Apache-2.0
"""Separate the answers of a host's shell from everything else that the host may print.

A login shell may print anything before our shell starts, and the host is not trusted. So each
answer ends with a marker that cannot be guessed, and there is a limit for everything collected.
"""

from __future__ import annotations

import re
import secrets

import attrs

MAX_ANSWER = 1024 * 1024
"""Maximum size of an answer in bytes, for each of its two streams."""

MAX_NOISE = 256 * 1024
"""Maximum number of bytes that a login shell may print before our shell is ready."""

_MAX_STATUS_LINE = 16
_STATUS = re.compile(rb"[0-9]{1,3}")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

COMMAND = "exec /bin/sh -s"
"""The command of every channel. All login shells parse it in the same way."""

SETTINGS = (
    # If /bin/sh is Bash, it inherits options and aliases that a login shell exports.
    "set +efuvx\nunalias -a 2>/dev/null\n"
    "umask 077\nunset ENV CDPATH TMOUT BASH_ENV GREP_OPTIONS\nLC_ALL=C\nexport LC_ALL\n"
    f"PATH=${{PATH:+$PATH:}}{_PATH}\nexport PATH\n"
).encode()
"""Shell text that makes the shells of all hosts behave in the same way."""


_ECHO = SETTINGS.partition(b"\n")[0] + b"\r\n"
"""What comes back if a terminal is between: it repeats what it gets."""


class AnswerError(Exception):
    """The host did not follow the protocol; the message says how."""


class AnswerTooLargeError(AnswerError):
    """The host sent more than the maximum."""

    def __init__(self) -> None:
        super().__init__("more than 1 MiB")


class JoinedStreamsError(Exception):
    """The two streams of the shell arrive as one; the message says how this was noticed."""


def make_marker() -> bytes:
    """Return a marker that cannot be guessed."""
    return b"mlcr-" + secrets.token_hex(16).encode()


def start_shell(marker: bytes, *, read_line: bool = False) -> bytes:
    """Return the first text for a shell: known settings, then the marker on both streams.

    Args:
        marker: The marker to print when the shell is ready.
        read_line: Whether the shell then reads one line, byte by byte, and executes it. What
            follows the line is the input of that command, or more text. Send nothing before the
            marker has arrived: until then the shell may read ahead.
    """
    # In two parts, so that a program that just echoes its input does not print the marker.
    start, rest = marker[:5].decode(), marker[5:].decode()
    ready = (
        f"printf '%s%s\\n' '{start}' '{rest}' >&2\nprintf '%s%s\\n' '{start}' '{rest}'\n"
    ).encode("ascii")
    if not read_line:
        return SETTINGS + ready
    # In braces: the shell reads all of this text before it prints the marker.
    return SETTINGS + b"{\n" + ready + b'IFS= read -r mlcr_line\neval "$mlcr_line"\n}\n'


def frame_call(call: bytes, marker: bytes) -> bytes:
    """Return shell text that runs a call in a subshell and prints the marker after its answer."""
    return (
        b"(\n" + call + b"\n) </dev/null\n"
        b"printf '\\n%s %d\\n' '" + marker + b"' $?\nprintf '\\n%s \\n' '" + marker + b"' >&2\n"
    )


@attrs.define
class _Collected:
    """The bytes of one stream up to the line that starts with the marker."""

    ending: bytes
    data: bytearray = attrs.field(factory=bytearray, init=False)
    rest: bytes | None = attrs.field(default=None, init=False)
    """The text after the marker on its line; ``None`` until it has arrived."""
    _at: int = attrs.field(default=-1, init=False)

    def feed(self, data: bytes) -> None:
        if self.rest is not None:
            # A background process of the call still writes; that is not part of the answer.
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
    """Collects one answer from the two streams of a shell."""

    marker: bytes
    _out: _Collected = attrs.field(init=False)
    _err: _Collected = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        ending = b"\n" + self.marker + b" "
        self._out, self._err = _Collected(ending), _Collected(ending)

    @property
    def stdout(self) -> bytes:
        """The call's standard output."""
        return bytes(self._out.data)

    @property
    def stderr(self) -> bytes:
        """The call's standard error."""
        return bytes(self._err.data)

    def feed_stdout(self, data: bytes) -> None:
        """Add bytes of standard output.

        Raises:
            AnswerError: There are too many bytes, or the status is invalid.
        """
        self._out.feed(data)
        if self._out.rest is not None and not (
            _STATUS.fullmatch(self._out.rest) and int(self._out.rest) <= 255
        ):
            raise AnswerError(f"the status {self._out.rest!r}")

    def feed_stderr(self, data: bytes) -> None:
        """Add bytes of standard error.

        Raises:
            AnswerError: There are too many bytes.
        """
        self._err.feed(data)

    @property
    def code(self) -> int | None:
        """The call's status; ``None`` until both streams have ended."""
        if self._out.rest is None or self._err.rest is None:
            return None
        return int(self._out.rest)


@attrs.define
class ReadyMarker:
    """Waits for the first marker of a stream. The bytes before it come from the login shell."""

    marker: bytes
    noise: bytearray = attrs.field(factory=bytearray)
    """The bytes before the marker."""

    def feed(self, data: bytes) -> bytes | None:
        """Add bytes; return those after the marker, or ``None`` if it has not arrived.

        Raises:
            AnswerTooLargeError: There are too many bytes before the marker.
            JoinedStreamsError: A terminal is between the shell and this machine.
        """
        self.noise += data
        if self.marker + b"\r\n" in self.noise or _ECHO in self.noise:
            raise JoinedStreamsError("its output passes through a terminal")
        found, separator, rest = bytes(self.noise).partition(self.marker + b"\n")
        if len(found) > MAX_NOISE:
            raise AnswerTooLargeError
        if separator:
            self.noise[:] = found
            self.check(rest)
            return rest
        return None

    def check(self, rest: bytes) -> None:
        """Check bytes after the marker: each stream gets the marker only once.

        Raises:
            JoinedStreamsError: It is there again, so it is the marker of the other stream.
        """
        if rest.startswith(self.marker + b"\n"):
            raise JoinedStreamsError("standard output and standard error arrive as one stream")

    @property
    def excerpt(self) -> str:
        """The first 80 bytes of noise, for a message."""
        return repr(bytes(self.noise[:80]))[1:]
