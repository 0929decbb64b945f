# SPDX-License-Identifier: Apache-2.0
"""Make output of hosts safe to print: complete lines without control characters."""

from __future__ import annotations

import codecs
import os
import re
from typing import TextIO

import attrs

MAX_LINE = 64 * 1024
"""Maximum length of a line, in characters; longer lines are cut into pieces."""

# Terminal control sequences: CSI; OSC and similar (ended by BEL or ST); two-character ones.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
)
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that are never printed: they control a terminal, or are bytes that are not UTF-8."""
_BREAKS = re.compile(r"([\r\n])")


def has_colour(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours, which the user has not refused."""
    is_dumb = os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_dumb and not os.environ.get("NO_COLOR")


def sanitise(text: str) -> str:
    r"""Return ``text`` without terminal control sequences and control characters.

    Escape sequences are removed; an unended one hides at most the rest of its line. Other control
    characters, and those that change the direction of text, become visible (``\\x07``). Tabs and
    newlines stay. Lone surrogates, which represent bytes that are not UTF-8, become ``\\xff``.
    """
    return CONTROLS.sub(_visible, _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    r"""Return ``text`` on one line: as :func:`sanitise`, with newlines as ``\n``."""
    return sanitise(text).replace("\n", "\\n")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # the byte that the surrogate represents
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


@attrs.define
class LineAssembler:
    """Turns one stream's bytes into lines, independent of the size of the pieces.

    A carriage return restarts the line, as on a terminal: only the last state of a progress bar
    remains.
    """

    _decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("backslashreplace"), init=False
    )
    _line: str = attrs.field(default="", init=False)
    _returned: bool = attrs.field(default=False, init=False)
    """Whether the last character was a carriage return: text after it restarts the line."""
    _is_redrawn: bool = attrs.field(default=False, init=False)
    """Whether the line was restarted."""

    @property
    def unfinished(self) -> str:
        """The last state of the incomplete line."""
        return self._line

    @property
    def redrawn(self) -> str:
        """The last state of the incomplete line if it is restarted again and again."""
        return self._line if self._is_redrawn else ""

    def feed(self, data: bytes) -> list[str]:
        """Add bytes and return the lines that are now complete."""
        return self._add(self._decoder.decode(data))

    def finish(self) -> list[str]:
        """Return the incomplete line, if there is one, at the end of the stream."""
        lines = self._add(self._decoder.decode(b"", final=True))
        last, self._line, self._returned = self._line, "", False
        return [*lines, last] if last else lines

    def _add(self, text: str) -> list[str]:
        lines = []
        for piece in _BREAKS.split(text):
            if piece == "\n":
                lines.append(self._line)
                self._line, self._returned, self._is_redrawn = "", False, False
            elif piece == "\r":
                self._returned = True
            elif piece:
                self._is_redrawn |= self._returned
                self._line = piece if self._returned else self._line + piece
                self._returned = False
                while len(self._line) > MAX_LINE:
                    lines.append(self._line[:MAX_LINE])
                    self._line = self._line[MAX_LINE:]
        return lines
