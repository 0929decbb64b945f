# SPDX-License-Identifier: Apache-2.0
"""Making what comes from hosts safe to show: whole lines, no control characters."""

from __future__ import annotations

import codecs
import re

import attrs

MAX_LINE = 64 * 1024
"""Characters after which a line is shown although it has not ended."""

# Terminal control sequences: CSI, OSC and its kin (ended by BEL or ST), and two-character ones.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
)
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What is never shown as it is: it would steer a terminal, or stands for a byte that is no text."""
_BREAKS = re.compile(r"([\r\n])")


def sanitise(text: str) -> str:
    r"""Return ``text`` without anything that a terminal would obey.

    Escape sequences vanish; other control characters, and those that turn the direction of text
    around, become visible (``\\x07``). Tabs and newlines stay; lone surrogates, which stand for
    bytes that are not UTF-8, become ``\\xff`` forms. An unended sequence hides no more than the
    rest of its line.
    """
    return CONTROLS.sub(_visible, _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    r"""Return ``text`` as :func:`sanitise` does, with newlines as ``\n``."""
    return sanitise(text).replace("\n", "\\n")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # the byte that it stands for
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


@attrs.define
class LineAssembler:
    """Turns one stream's bytes into lines, however they are cut.

    A carriage return starts a line over, as on a terminal: of a progress bar, its last state is
    what remains.
    """

    _decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("backslashreplace"), init=False
    )
    _line: str = attrs.field(default="", init=False)
    _returned: bool = attrs.field(default=False, init=False)
    """A carriage return came last: what follows starts the line over, an end of line does not."""

    @property
    def unfinished(self) -> str:
        """The line that is still being written, in its last state."""
        return self._line

    def feed(self, data: bytes) -> list[str]:
        """Take bytes and return the lines they complete."""
        return self._take(self._decoder.decode(data))

    def finish(self) -> list[str]:
        """Return what is left when the stream has ended."""
        lines = self._take(self._decoder.decode(b"", final=True))
        last, self._line, self._returned = self._line, "", False
        return [*lines, last] if last else lines

    def _take(self, text: str) -> list[str]:
        lines = []
        for piece in _BREAKS.split(text):
            if piece == "\n":
                lines.append(self._line)
                self._line, self._returned = "", False
            elif piece == "\r":
                self._returned = True
            elif piece:
                self._line = piece if self._returned else self._line + piece
                self._returned = False
                while len(self._line) > MAX_LINE:
                    lines.append(self._line[:MAX_LINE])
                    self._line = self._line[MAX_LINE:]
        return lines
