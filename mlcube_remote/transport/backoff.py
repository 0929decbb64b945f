# SPDX-License-Identifier: Apache-2.0
"""Delays between retries: they double up to a limit, vary at random, and end at a deadline."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

import attrs


def with_jitter(delay: float) -> float:
    """Vary a delay at random, so that many clients do not retry at the same moment."""
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


@attrs.define
class Backoff:
    """The delays of one series of retries, in seconds."""

    delay: float
    """The next delay, before jitter."""
    longest: float
    timeout: float = math.inf
    """Time for the whole series."""
    _started: float = attrs.field(factory=time.monotonic, init=False)

    def wait(
        self,
        stop: threading.Event | None = None,
        waiting: Callable[[float], None] = lambda _: None,
    ) -> bool:
        """Wait before the next retry; return whether it may take place.

        It may not if ``stop`` is set, or if the delay would end after the timeout.

        Args:
            stop: Ends the wait.
            waiting: Called with the seconds before the wait.
        """
        delay = with_jitter(self.delay)
        self.delay = min(self.delay * 2, self.longest)
        if time.monotonic() + delay > self._started + self.timeout:
            return False
        waiting(delay)
        if stop is not None:
            return not stop.wait(delay)
        time.sleep(delay)
        return True
