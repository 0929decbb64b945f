# SPDX-License-Identifier: Apache-2.0
"""End a transfer that makes too little progress.

rsync ends itself after a minute without a byte. A host that sends one byte a minute could hold a
transfer for ever.
"""

from __future__ import annotations

import math
import time

import attrs

from mlcube_remote.errors import AbortedTransferError

WINDOW_S = 600.0
"""Time that a transfer may be too slow, or silent because a side reads large files."""


@attrs.define
class RateFloor:
    """Counts the bytes of one transfer in both directions.

    A transfer may be slower than the floor for :data:`WINDOW_S`. A faster one earns this time
    again, but never more: a host cannot save time for later.
    """

    host: str
    min_rate: float
    """Bytes per second; 0: no floor."""
    window_s: float = attrs.field(factory=lambda: WINDOW_S)
    sent: int = attrs.field(default=0, init=False)
    received: int = attrs.field(default=0, init=False)
    _counted: int = attrs.field(default=0, init=False)
    _left_s: float = attrs.field(default=math.inf, init=False)
    _checked_at: float = attrs.field(factory=time.monotonic, init=False)

    def check(self) -> None:
        """Raise an error if the transfer was too slow for too long.

        Raises:
            AbortedTransferError: It was.
        """
        if not self.min_rate:
            return
        now, total = time.monotonic(), self.sent + self.received
        earned = (total - self._counted) / self.min_rate
        passed = now - self._checked_at
        self._left_s = min(self.window_s, min(self.window_s, self._left_s) - passed + earned)
        self._counted, self._checked_at = total, now
        if self._left_s < 0:
            raise AbortedTransferError(
                self.host,
                f"the transfer was ended: slower than {self.min_rate:g} B/s for "
                f"{self.window_s:g} s ({total:,} B so far)",
                hint=f"if the link is that slow, set min_rate of {self.host} in hosts.yaml, in "
                "bytes per second; 0: no limit",
            )
