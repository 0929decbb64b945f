# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import threading
import time

from mlcube_remote.transport import login_limiter as pacing
from mlcube_remote.transport.login_limiter import LOGINS_AT_ONCE, Gate


def _most_at_once(gate: Gate, visitors: int) -> int:
    inside = most = 0
    guard = threading.Lock()
    full = threading.Event()

    def visit() -> None:
        nonlocal inside, most
        with gate.turn():
            with guard:
                inside += 1
                most = max(most, inside)
                if inside >= gate.limit:
                    full.set()
            # Nobody leaves before as many are inside as may be, and some time for one too many.
            full.wait(10)
            time.sleep(0.01)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=visit) for _ in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_no_more_than_the_limit_are_inside_at_once() -> None:
    assert _most_at_once(Gate(), 30) == LOGINS_AT_ONCE


def test_a_narrowed_gate_lets_fewer_in_but_always_one() -> None:
    gate = Gate()
    gate.narrow()
    assert gate.limit == LOGINS_AT_ONCE // 2
    for _ in range(10):
        gate.narrow()

    assert gate.limit == 1
    assert _most_at_once(gate, 5) == 1


def test_a_turn_ends_also_with_an_error() -> None:
    gate = Gate(limit=1)
    for _ in range(3):
        with contextlib.suppress(OSError), gate.turn():
            os.stat("/nowhere")

    assert _most_at_once(gate, 2) == 1


def test_connections_to_one_address_share_its_gate() -> None:
    assert pacing.gate("a.example", 22) is pacing.gate("a.example", 22)
    assert pacing.gate("a.example", 22) is not pacing.gate("a.example", 2222)


def test_pauses_grow_and_stay_bounded() -> None:
    assert 0.2 < pacing.pause(1) < 0.8
    assert all(4 <= pacing.pause(attempt) <= 12 for attempt in (5, 6, 50))
