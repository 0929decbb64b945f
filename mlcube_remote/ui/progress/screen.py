# SPDX-License-Identifier: Apache-2.0
"""Show a text that changes, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text


def show_repeatedly(text: Callable[[], str], stream: TextIO, *, interval: float) -> None:
    """Show a text again and again until Ctrl-C; on a terminal, in the same place.

    Args:
        text: Returns the current text.
        stream: Where to show it; what is not a terminal gets one text after the other.
        interval: Seconds between two texts.
    """
    last = ""
    try:
        if not stream.isatty():
            while True:
                last = ""
                stream.write(f"{text()}\n\n")
                stream.flush()
                time.sleep(interval)
        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                last = text()
                shown = Text.from_ansi(f"{last}\n\n{_footer(interval)}", no_wrap=True)
                live.update(shown, refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        # The terminal has its former content again: the last text stays below it.
        if last:
            stream.write(f"{last}\n")
            stream.flush()


def _footer(interval: float) -> str:
    return f"{time.strftime('%H:%M:%S')}, every {interval:.0f} s; Ctrl-C ends"
