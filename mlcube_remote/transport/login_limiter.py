# SPDX-License-Identifier: Apache-2.0
"""Being polite to sshd: few logins at once at one address, fewer where some were turned away.

sshd's MaxStartups counts connections that have not logged in yet, and by default begins to drop
them at ten. The count is per server, so a bastion before many hosts has one gate for all of them.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

LOGINS_AT_ONCE = 8
"""Logins under way at one address."""


@attrs.define
class Gate:
    """Lets so many logins in at once at one address."""

    limit: int = LOGINS_AT_ONCE
    _inside: int = attrs.field(default=0, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn; it lasts from the connection's start until the login is over."""
        with self._changed:
            while self._inside >= self.limit:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def narrow(self) -> None:
        """Let half as many in from now on: somebody was turned away."""
        with self._changed:
            self.limit = max(1, self.limit // 2)


_gates: dict[tuple[str, int], Gate] = defaultdict(Gate)
_gates_guard = threading.Lock()


def gate(hostname: str, port: int) -> Gate:
    """Return the gate of an address; all connections of this process share it."""
    with _gates_guard:
        return _gates[hostname, port]


def pause(attempt: int) -> float:
    """Return the seconds to wait after so many attempts.

    Jitter spreads hosts that were turned away together.
    """
    return 0.25 * 2.0 ** min(attempt, 5) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
