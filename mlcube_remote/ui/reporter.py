# SPDX-License-Identifier: Apache-2.0
"""Choosing how a run is shown, and what all ways have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from mlcube_remote.events.model import Event
from mlcube_remote.transport.base import Stream


class Reporter(Protocol):
    """Shows a run while it happens."""

    def handle(self, event: Event) -> None:
        """Show an event; may be called from many threads."""
        ...

    def block(self, title: str, stream: Stream, lines: Iterator[str]) -> None:
        """Show lines that belong together, below a title.

        Args:
            title: What they are.
            stream: Where they came from.
            lines: As they were written; what a terminal would obey is taken out.
        """
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
    gather: bool = False,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> Reporter:
    """Return a reporter that fits where the output goes.

    Args:
        hosts: Names of the run's hosts.
        quiet: Only the tasks' own output.
        verbose: Debug notes too.
        json: Standard output is kept for one document.
        gather: What many hosts print alike is shown once.
        stdout: Where tasks' output goes; standard output unless given.
        stderr: Where everything else goes; standard error unless given.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    names = tuple(hosts)
    shown = _shown(names, out, err, quiet=quiet, verbose=verbose, json=json)
    if gather and len(names) > 1:
        from mlcube_remote.ui.gather import GatheringReporter  # noqa: PLC0415 - when asked for

        return GatheringReporter(shown, names)
    return shown


def _shown(
    names: tuple[str, ...], out: TextIO, err: TextIO, *, quiet: bool, verbose: bool, json: bool
) -> Reporter:
    moving = out.isatty() and err.isatty() and os.environ.get("TERM") != "dumb"
    if moving and not quiet and not json:
        from mlcube_remote.ui.live import LiveReporter  # noqa: PLC0415 - rich takes a while

        return LiveReporter(hosts=names, verbose=verbose, stream=err)
    from mlcube_remote.ui.plain import PlainReporter  # noqa: PLC0415

    return PlainReporter(
        hosts=names, quiet=quiet, verbose=verbose, stdout=err if json else out, stderr=err
    )
