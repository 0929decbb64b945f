# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import threading
import time

from mlcube_remote.transport.login_limiter import (
    MAX_CONCURRENT_LOGINS,
    LoginLimiter,
    limiter_for,
)


def _count_concurrent(limiter: LoginLimiter, clients: int) -> int:
    """Return the maximum number of clients that held a slot at the same time."""
    active = most = 0
    lock = threading.Lock()
    full = threading.Event()

    def log_in() -> None:
        nonlocal active, most
        with limiter.slot():
            with lock:
                active += 1
                most = max(most, active)
                if active >= limiter.limit:
                    full.set()
            # All slots get used, and there is some time for one client too many.
            full.wait(10)
            time.sleep(0.01)
            with lock:
                active -= 1

    threads = [threading.Thread(target=log_in) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_the_number_of_concurrent_logins_is_limited() -> None:
    assert _count_concurrent(LoginLimiter(), 30) == MAX_CONCURRENT_LOGINS


def test_a_reduced_limit_is_at_least_one() -> None:
    limiter = LoginLimiter()
    limiter.reduce()
    assert limiter.limit == MAX_CONCURRENT_LOGINS // 2
    for _ in range(10):
        limiter.reduce()

    assert limiter.limit == 1
    assert _count_concurrent(limiter, 5) == 1


def test_an_error_frees_the_slot() -> None:
    limiter = LoginLimiter(limit=1)
    for _ in range(3):
        with contextlib.suppress(OSError), limiter.slot():
            os.stat("/nowhere")

    assert _count_concurrent(limiter, 2) == 1


def test_connections_to_one_address_share_its_limiter() -> None:
    assert limiter_for("a.example", 22) is limiter_for("a.example", 22)
    assert limiter_for("a.example", 22) is not limiter_for("a.example", 2222)
