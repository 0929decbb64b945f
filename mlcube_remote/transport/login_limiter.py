# SPDX-License-Identifier: Apache-2.0
"""Limit the number of logins at the same time to one address.

sshd's MaxStartups limits the connections that have not logged in yet. By default sshd starts to
drop connections if there are ten of them. The limit is per server: if many hosts have the same jump
host, they share the limiter of its address.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

MAX_CONCURRENT_LOGINS = 8


@attrs.define
class LoginLimiter:
    """Limits the number of logins at the same time."""

    limit: int = MAX_CONCURRENT_LOGINS
    _active: int = attrs.field(default=0, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot, and hold it from the start of the connection to the login's end."""
        with self._changed:
            while self._active >= self.limit:
                self._changed.wait()
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def reduce(self) -> None:
        """Halve the limit, because the server has dropped a connection; it is at least 1."""
        with self._changed:
            self.limit = max(1, self.limit // 2)


_limiters: dict[tuple[str, int], LoginLimiter] = defaultdict(LoginLimiter)
_limiters_lock = threading.Lock()


def limiter_for(hostname: str, port: int) -> LoginLimiter:
    """Return the limiter of an address; all connections of this process share it."""
    with _limiters_lock:
        return _limiters[hostname, port]
