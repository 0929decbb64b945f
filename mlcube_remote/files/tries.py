# SPDX-License-Identifier: Apache-2.0
"""How far the tries of one transfer have come, if the connection breaks again and again."""

from __future__ import annotations

import attrs


@attrs.define
class Tries:
    """The tries of one transfer. Each continues with what has arrived before.

    rsync counts bytes from the start of the first file that is incomplete, and also those of it
    that the other side has kept.
    """

    _earlier: int = attrs.field(default=0, init=False)
    """Bytes of all earlier tries together."""
    _current: int = attrs.field(default=0, init=False)
    _furthest: int = attrs.field(default=0, init=False)
    """Bytes of the try that came furthest."""

    def begin(self) -> None:
        """Count another try."""
        self._earlier, self._current = self._earlier + self._current, 0

    def note(self, sent: int) -> None:
        """Count the bytes that rsync says this try has moved so far."""
        self._current = max(self._current, sent)
        self._furthest = max(self._furthest, self._current)

    def moved(self, size: int) -> int:
        """Return a number that grows as long as more of the transfer arrives.

        Many files arrive one after the other, so all tries count together. A host that keeps
        nothing gets the same bytes again and again: more than the whole is no progress. But one
        large file may need more tries than that: then each must come further than all before.

        Args:
            size: Bytes of the whole transfer.
        """
        return min(self._earlier + self._current, size) + min(self._furthest, size)
