# SPDX-License-Identifier: Apache-2.0
"""The end of what a program on a host prints, for the message if it fails."""

from __future__ import annotations

import collections

import attrs

MAX_LINES = 15
"""Number of lines that a message has."""


@attrs.define
class OutputTail:
    """Keeps the last parts of what a program prints, and drops the others."""

    _parts: collections.deque[bytes] = attrs.field(
        factory=lambda: collections.deque(maxlen=256), init=False
    )

    def add(self, data: bytes) -> None:
        """Take a part."""
        self._parts.append(data[-4096:])

    def lines(self) -> list[str]:
        """Return the lines that are kept; a line that a program wrote again counts as another."""
        text = b"".join(self._parts).decode("utf-8", "replace")
        return text.replace("\r", "\n").splitlines()
