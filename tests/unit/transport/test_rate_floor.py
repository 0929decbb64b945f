# SPDX-License-Identifier: Apache-2.0
"""A transfer below the floor ends; one above it never does, however long it takes."""

from __future__ import annotations

import pytest

from mlcube_remote.errors import AbortedTransferError
from mlcube_remote.transport import rate_floor
from mlcube_remote.transport.rate_floor import RateFloor


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_floor, "time", clock)
    return clock


def seconds_until_it_ends(
    floor: RateFloor, clock: Clock, rate: float, most: int = 20_000
) -> float | None:
    begin = clock.now
    for _ in range(most):
        clock.now += 1
        floor.received += int(rate)
        try:
            floor.check()
        except AbortedTransferError:
            return clock.now - begin
    return None


@pytest.mark.parametrize(
    ("rate", "expected"), [(0, 601), (1, 603), (128, 1201), (256, None), (300, None)]
)
def test_only_a_rate_below_the_floor_ends_a_transfer(
    clock: Clock, rate: int, expected: float | None
) -> None:
    floor = RateFloor("gpu01", 256.0)
    floor._checked_at = clock.now
    assert seconds_until_it_ends(floor, clock, rate) == expected


def test_a_fast_start_buys_no_time_for_later(clock: Clock) -> None:
    floor = RateFloor("gpu01", 256.0)
    floor.received = 10**12
    floor.check()
    assert seconds_until_it_ends(floor, clock, 0) == 601


def test_both_directions_count_and_zero_is_no_floor(clock: Clock) -> None:
    floor = RateFloor("gpu01", 256.0)
    for _ in range(5000):
        clock.now += 1
        floor.sent += 256
        floor.check()
    assert seconds_until_it_ends(RateFloor("gpu01", 0.0), clock, 0) is None
