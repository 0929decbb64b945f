# SPDX-License-Identifier: Apache-2.0
"""What Ctrl-C asks: days of work are not to be lost to a reflex."""

from __future__ import annotations

import select
from typing import TextIO

PATIENCE = 10.0
"""Seconds after which the harmless answer is taken."""


def ask(answers: TextIO, screen: TextIO, patience: float = PATIENCE) -> bool:
    """Ask whether the jobs are to be stopped; they are not, unless somebody says so.

    Args:
        answers: The terminal's input.
        screen: Where to ask.
        patience: Seconds to wait.

    Returns:
        Whether to stop them; false also when Ctrl-C is hit once more.
    """
    try:
        print(
            "\ninterrupted: the jobs go on without you (d, or wait "
            f"{patience:.0f} s), or do you want to stop them (s)? [d/s] ",
            end="",
            file=screen,
            flush=True,
        )
        ready, _, _ = select.select([answers], [], [], patience)
        answer = answers.readline() if ready else ""
    except KeyboardInterrupt:
        answer = ""
    stop = answer.strip().lower() in {"s", "stop"}
    print("stopping the jobs" if stop else "detaching", file=screen, flush=True)
    return stop
