# SPDX-License-Identifier: Apache-2.0
"""Read a terminal key by key, and leave it as it was."""

from __future__ import annotations

import contextlib
import termios
import tty
from collections.abc import Iterator
from enum import Enum


class Keys(Enum):
    """What the keys are for."""

    FOR_COMMAND = "command"
    """A command on a host gets all of them, also those that were typed before; its output is shown
    as it is."""
    FOR_QUESTION = "question"
    """They answer a question: what was typed before it was shown is dropped, and a line break is
    shown as always."""


@contextlib.contextmanager
def raw_mode(terminal: int, keys: Keys) -> Iterator[None]:
    """Get each key at once during a block, Ctrl-C as well, and show none.

    Args:
        terminal: Descriptor of the terminal.
        keys: What the keys are for.

    Raises:
        OSError: The terminal is gone.
    """
    try:
        before = termios.tcgetattr(terminal)
        if keys is Keys.FOR_COMMAND:
            tty.setraw(terminal, termios.TCSANOW)
        else:
            asking = termios.tcgetattr(terminal)
            asking[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
            asking[6][termios.VMIN], asking[6][termios.VTIME] = 1, 0
            termios.tcsetattr(terminal, termios.TCSAFLUSH, asking)
    except termios.error as problem:
        raise OSError(*problem.args) from problem
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
