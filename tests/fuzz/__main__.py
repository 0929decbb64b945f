# SPDX-License-Identifier: Apache-2.0
"""Fuzz all readers for some minutes: ``python -m tests.fuzz MINUTES [READER...]``.

An input that fails is made as small as possible, printed, and written to ``build/fuzz``. Fix the
reader, and keep the input in ``tests/fuzz/corpus``.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS, read

FAILED = Path("build/fuzz")
ROUND = 300
"""Inputs of one reader before it is the next one's turn."""


def fuzz(name: str, number: int) -> None:
    """Let a reader read one round of inputs; ``number`` is the seed.

    Raises:
        Exception: It failed.
    """
    last = b""

    @seed(number)
    @settings(
        max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs(name))
    def check(data: bytes) -> None:
        nonlocal last
        try:
            read(name, data)
        except BaseException:
            last = data
            raise

    try:
        check()
    except Exception:
        FAILED.mkdir(parents=True, exist_ok=True)
        file = FAILED / f"{name}-{hashlib.sha256(last).hexdigest()[:12]}"
        file.write_bytes(last)
        sys.stderr.write(f"{name}: failed; the input is {file}\n")
        raise


def main(minutes: float, names: list[str]) -> None:
    """Fuzz until the time is over."""
    end = time.monotonic() + minutes * 60
    counts = dict.fromkeys(names or TARGETS, 0)
    number = int(time.time())
    while time.monotonic() < end:
        for name in counts:
            fuzz(name, number)
            counts[name] += ROUND
            if time.monotonic() >= end:
                break
        number += 1
    for name, count in counts.items():
        sys.stdout.write(f"{name}: {count:,} inputs\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
