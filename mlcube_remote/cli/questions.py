# SPDX-License-Identifier: Apache-2.0
"""The terminal of the command that runs: its display and its questions share it."""

from __future__ import annotations

import click

from mlcube_remote.transport.questions import Answers
from mlcube_remote.ui.terminal import Terminal, has_terminal

_KEY = "mlcube_remote.terminal"


def current_terminal() -> Terminal:
    """Return the terminal of the current command."""
    context = click.get_current_context(silent=True)
    terminal: Terminal = (
        Terminal() if context is None else context.meta.setdefault(_KEY, Terminal())
    )
    return terminal


def open_answers() -> Answers:
    """Return a memory of answers, which asks on the terminal if there is one."""
    return Answers(current_terminal() if has_terminal() else None)
