# SPDX-License-Identifier: Apache-2.0
"""Choose the reporter that fits the terminal and the options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from mlcube_remote.ui.progress.base import Reporter


def make_reporter(
    *,
    hosts: Sequence[str],
    quiet: bool,
    verbose: bool,
    json: bool,
    gather: bool = False,
    ordered: bool = False,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    on_lost: Callable[[OSError], None] = lambda _: None,
    on_gone: Callable[[], None] = lambda: None,
) -> Reporter:
    """Return a reporter that fits the terminal and the options.

    Args:
        hosts: Names of the run's jobs; without a sweep these are its hosts.
        quiet: Show only the tasks' output and warnings.
        verbose: Show debug notes too.
        json: Keep standard output free for a JSON document.
        gather: Group identical output of several hosts and print it once.
        ordered: Print the output of several jobs one after the other.
        stdout: Stream for the tasks' output; default: standard output.
        stderr: Stream for everything else; default: standard error.
        on_lost: Takes the error if output of tasks cannot be written, such as on a full disk.
        on_gone: Called if the reader of that output has gone, such as ``head``.
    """
    out, err = stdout or sys.stdout, stderr or sys.stderr
    names = tuple(hosts)
    reporter = _make_inner(
        names,
        out,
        err,
        on_lost=on_lost,
        on_gone=on_gone,
        quiet=quiet,
        verbose=verbose,
        json=json,
    )
    if ordered and not gather and len(names) > 1:
        from mlcube_remote.ui.progress.ordered import OrderedReporter  # noqa: PLC0415

        return OrderedReporter(reporter, names)
    if gather and len(names) > 1:
        from mlcube_remote.ui.progress.grouped import GroupedReporter  # noqa: PLC0415 - rarely used

        return GroupedReporter(reporter, names)
    return reporter


def _make_inner(
    names: tuple[str, ...],
    out: TextIO,
    err: TextIO,
    *,
    on_lost: Callable[[OSError], None],
    on_gone: Callable[[], None],
    quiet: bool,
    verbose: bool,
    json: bool,
) -> Reporter:
    is_interactive = out.isatty() and err.isatty() and os.environ.get("TERM") != "dumb"
    if is_interactive and not quiet and not json:
        from mlcube_remote.ui.progress.live import LiveReporter  # noqa: PLC0415 - rich loads slowly

        return LiveReporter(jobs=names, verbose=verbose, stream=err)
    from mlcube_remote.ui.progress.plain import PlainReporter  # noqa: PLC0415

    return PlainReporter(
        jobs=names,
        quiet=quiet,
        verbose=verbose,
        stdout=err if json else out,
        stderr=err,
        on_lost=on_lost,
        on_gone=on_gone,
    )
