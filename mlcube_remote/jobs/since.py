# SPDX-License-Identifier: Apache-2.0
"""The time from which on a user wants to see output."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Since:
    """A time from which on output is shown."""

    at: float | None = None
    """Seconds since the epoch; ``None``: relative to now."""
    ago: float = 0.0
    """Seconds before now, by the host's clock."""

    def on(self, host_now: float) -> float:
        """Return it in seconds since the epoch, if that is the time on the host now."""
        return host_now - self.ago if self.at is None else self.at
