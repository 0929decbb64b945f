# SPDX-License-Identifier: Apache-2.0
"""Making what comes from hosts safe to show: whole lines, no control characters."""

from __future__ import annotations

import codecs
import re

import attrs

MAX_LINE = 64 * 1024
"""Bytes after which a line is shown although it has not ended."""

# Terminal control sequences: CSI, OSC and its kin (ended by BEL or ST), and two-character ones.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def sanitise(text: str) -> str:
    r"""Return ``text`` without anything that a terminal would obey.

    Escape sequences vanish; other control characters, and those that turn the direction of text
    around, become visible (``\\x07``). Tabs and newlines stay; lone surrogates, which stand for
    bytes that are not UTF-8, become ``\\xff`` forms.
    """
    plain = _CONTROLS.sub(_visible, _SEQUENCES.sub("", text))
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
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
    _rest: str = attrs.field(default="", init=False)

    def feed(self, data: bytes) -> list[str]:
        """Take bytes and return the lines they complete."""
        return self._split(self._rest + self._decoder.decode(data))

    def finish(self) -> list[str]:
        """Return what is left when the stream has ended."""
        lines = self._split(self._rest + self._decoder.decode(b"", final=True))
        last, self._rest = self._rest, ""
        return [*lines, _last_state(last)] if last else lines

    def _split(self, text: str) -> list[str]:
        *lines, rest = text.split("\n")
        ready = [_last_state(line) for line in lines]
        while len(rest) > MAX_LINE:
            # A bar that never ends its line is shortened to its state, anything else is cut.
            state = rest.rpartition("\r")[2]
            if len(state) < len(rest):
                rest = state
                continue
            ready.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest = rest
        return ready


def _last_state(line: str) -> str:
    states = [state for state in line.split("\r") if state]
    return states[-1] if states else ""
