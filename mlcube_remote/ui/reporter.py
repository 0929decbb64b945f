# SPDX-License-Identifier: Apache-2.0
"""Choosing how a run is shown, and what all ways have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from mlcube_remote.dispatch.events import Event


class Reporter(Protocol):
    """Shows a run while it happens."""

    def handle(self, event: Event) -> None:
        """Show an event; may be called from many threads."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Show nothing for as long as the block lasts; who has something to show waits."""
        ...

    def close(self) -> None:
        """Show what is left and give the terminal back."""
        ...


def make_reporter(
    *,
    hosts: Sequence[str],
    quiet: bool,
    verbose: bool,
    json: bool,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> Reporter:
    """Return a reporter that fits where the output goes.

    Args:
        hosts: Names of the run's hosts.
        quiet: Only the tasks' own output.
        verbose: Debug notes too.
        json: Standard output is kept for one document.
        stdout: Where tasks' output goes; standard output unless given.
        stderr: Where everything else goes; standard error unless given.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    moving = out.isatty() and err.isatty() and os.environ.get("TERM") != "dumb"
    if moving and not quiet and not json:
        from mlcube_remote.ui.live import LiveReporter  # noqa: PLC0415 - rich takes a while

        return LiveReporter(hosts=tuple(hosts), verbose=verbose, stream=err)
    from mlcube_remote.ui.plain import PlainReporter  # noqa: PLC0415

    return PlainReporter(
        hosts=tuple(hosts), quiet=quiet, verbose=verbose, stdout=err if json else out, stderr=err
    )
