# SPDX-License-Identifier: Apache-2.0
"""Ask what Ctrl-C should do: a reflex must not stop jobs that have run for days."""

from __future__ import annotations

import os
import select
from typing import TextIO

TIMEOUT_S = 10.0
"""Seconds after which the jobs are left running."""


def ask_to_stop(answers: TextIO, screen: TextIO, timeout: float = TIMEOUT_S) -> bool:
    """Ask whether to stop the jobs or to leave them running.

    Args:
        answers: The terminal's input.
        screen: Where to print the question: a file that has a descriptor.
        timeout: Seconds to wait for an answer.

    Returns:
        Whether to stop them; false without a clear answer, and after a second Ctrl-C.
    """
    try:
        question = (
            "\nInterrupted: [d]etach and leave the jobs running, or [s]top them?\n"
            f"Without an answer in {timeout:.0f} s, or with Ctrl-C, it detaches. [d/s] "
        )
        screen.flush()
        # Ctrl-C just after a buffered write can leave the text in the buffer, to appear twice.
        os.write(screen.fileno(), question.encode())
        ready, _, _ = select.select([answers], [], [], timeout)
        answer = answers.readline() if ready else ""
    except KeyboardInterrupt:
        answer = ""
    if not answer.endswith("\n"):  # the question is still the last line
        print(file=screen)
    stop = answer.strip().lower() in {"s", "stop"}
    print("stopping the jobs" if stop else "detaching", file=screen, flush=True)
    return stop
