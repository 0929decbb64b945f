# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time

import pytest

from mlcube_remote.transport import backoff as backoff_module
from mlcube_remote.transport.backoff import Backoff, with_jitter


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Run the clock without waiting, and record the delays."""
    now = time.monotonic()
    recorded: list[float] = []

    def sleep(delay: float) -> None:
        nonlocal now
        now += delay
        recorded.append(delay)

    monkeypatch.setattr(backoff_module, "with_jitter", lambda delay: delay)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    return recorded


def test_delays_double_up_to_the_longest(waits: list[float]) -> None:
    backoff = Backoff(0.5, 3.0)

    assert all(backoff.wait() for _ in range(5))
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_no_retry_ends_after_the_timeout(waits: list[float]) -> None:
    backoff = Backoff(1.0, 30.0, timeout=10.0)

    assert [backoff.wait() for _ in range(4)] == [True, True, True, False]
    assert waits == [1.0, 2.0, 4.0]


def test_a_timeout_of_zero_allows_no_retry() -> None:
    assert not Backoff(0.001, 0.001, timeout=0.0).wait()


def test_a_wait_ends_if_it_is_stopped() -> None:
    stop = threading.Event()
    stop.set()

    assert not Backoff(60.0, 60.0).wait(stop)
    assert Backoff(0.001, 0.001).wait(threading.Event())


def test_jitter_makes_delays_different_but_not_longer() -> None:
    delays = {with_jitter(2.0) for _ in range(100)}

    assert all(1.0 <= delay <= 2.0 for delay in delays)
    assert len(delays) > 50
