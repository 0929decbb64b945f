# SPDX-License-Identifier: Apache-2.0
"""Doing work on hosts while somebody watches: shown, interruptible, and summed up at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mlcube_remote.cli.reports import reports
from mlcube_remote.dispatch.events import Event, EventSink
from mlcube_remote.dispatch.exitcode import exit_code
from mlcube_remote.dispatch.fanout import DEFAULT_PARALLEL, Hangup, OnInterrupt, run_all
from mlcube_remote.dispatch.index import Indexer
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.dispatch.policy import Patience
from mlcube_remote.dispatch.run import Run
from mlcube_remote.errors import (
    CancelledError,
    ConfigureError,
    DetachedError,
    HostError,
    UnexpectedError,
)
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.transport.base import Connection
from mlcube_remote.ui.document import dump, run_document
from mlcube_remote.ui.errors import print_errors, report_crash
from mlcube_remote.ui.interrupt import ask
from mlcube_remote.ui.nextsteps import next_steps
from mlcube_remote.ui.reporter import Reporter, make_reporter
from mlcube_remote.ui.summary import print_summary

Work = Callable[[Run], JobOutcome]


def show(
    run_id: str,
    work: Mapping[str, Work],
    given: Mapping[str, Any],
    *,
    connect: Callable[[Host, Callable[[str], None]], Connection],
    store: Store | None,
    results: Path | None = None,
    keeps: bool = False,
    parallel: int = DEFAULT_PARALLEL,
) -> tuple[JobOutcome, ...]:
    """Do the work of each host, show what happens, and obey interrupts.

    Args:
        run_id: The run.
        work: The job's name (or its host's, where that has one) → what is to be done.
        given: The command's options; a program that embeds this one adds a ``reporter`` of its own,
            and keeps its signals.
        connect: Opens a connection to a host.
        store: Where this machine remembers its runs.
        results: The folder that is to have the index of the run's results.
        keeps: Whether hosts have several jobs, for which connections are kept.
        parallel: Hosts that are worked on at once.
    """

    def do(run: Run, decide: Callable[[], OnInterrupt]) -> tuple[JobOutcome, ...]:
        pieces = [partial(piece, run) for piece in work.values()]
        return run_all(pieces, run, parallel=parallel, decide=decide)

    return show_jobs(
        run_id,
        list(work),
        do,
        given,
        connect=connect,
        store=store,
        results=results,
        keeps=keeps,
    )


def show_jobs(
    run_id: str,
    names: Sequence[str],
    do: Callable[[Run, Callable[[], OnInterrupt]], tuple[JobOutcome, ...]],
    given: Mapping[str, Any],
    *,
    connect: Callable[[Host, Callable[[str], None]], Connection],
    store: Store | None,
    results: Path | None = None,
    keeps: bool = False,
) -> tuple[JobOutcome, ...]:
    """Do the jobs of these names, and show what happens; see :func:`show`.

    Args:
        run_id: The run.
        names: The jobs' names.
        do: Does them, given the run and what an interrupt means.
        given: As for :func:`show`.
        connect: As for :func:`show`.
        store: As for :func:`show`.
        results: As for :func:`show`.
        keeps: As for :func:`show`.
    """
    reporter = given.get("reporter") or make_reporter(
        hosts=names,
        quiet=given["quiet"],
        verbose=given["verbose"],
        json=given["output"] == "json",
        gather=given.get("gather", False),
    )
    sinks: list[EventSink] = [reporter.handle]
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(reports(run_id, given, names))
        sinks += files.sinks
        if store is not None and results is not None:
            sinks.append(stack.enter_context(_indexing(run_id, store, results)))
        stack.enter_context(contextlib.closing(reporter))
        if "reporter" not in given:
            stack.enter_context(_hangups())
        run = Run(
            connect=connect,
            sink=partial(_tell, sinks),
            store=store,
            detach=given.get("detach", False),
            wait=given.get("wait", False),
            keeps=keeps,
            reconnect_timeout=given["reconnect_timeout"],
        )
        stack.callback(run.hang_up)
        if most := 1 if given.get("fail_fast") else given.get("max_failures"):
            sinks.append(Patience(run=run, most=most, jobs=len(names)).handle)
        outcomes = do(run, lambda: _decide(given["on_interrupt"], reporter))
        files.finish(outcomes, time.monotonic() - run.began)
        return outcomes


def _tell(sinks: Iterable[EventSink], event: Event) -> None:
    for sink in sinks:
        sink(event)


@contextlib.contextmanager
def _indexing(run_id: str, store: Store, results: Path) -> Iterator[EventSink]:
    """Keep the index of the results up to date for as long as the block lasts."""
    indexer = Indexer(store=store, run_id=run_id, home=results)
    try:
        yield indexer.handle
    finally:
        indexer.write()
        for problem in indexer.problems:
            click.echo(f"warning: {problem}", err=True)


def _decide(wish: str, reporter: Reporter) -> OnInterrupt:
    if wish != "ask":
        return OnInterrupt(wish)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return OnInterrupt.STOP
    with reporter.paused():
        return OnInterrupt.STOP if ask(sys.stdin, sys.stderr) else OnInterrupt.DETACH


@contextlib.contextmanager
def _hangups() -> Iterator[None]:
    """Let SIGHUP and SIGTERM end the following, not the jobs."""

    def hang_up(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            # The terminal is gone: what is still to be said must not fail on it.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise Hangup

    numbers = (signal.SIGHUP, signal.SIGTERM)
    # Who ignores a hang-up on purpose (nohup) goes on ignoring it.
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hang_up) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_TOLD = (DetachedError, CancelledError)
"""What needs no line per job: it is told of all of them at once."""


def _reasons(outcomes: Iterable[JobOutcome]) -> list[HostError]:
    """Return why tasks failed, where no error says it and their exit codes cannot."""
    return [
        HostError(outcome.label, f"{task.task}: {task.reason}")
        for outcome in outcomes
        for task in outcome.tasks
        if outcome.error is None and task.reason and task.status is not Status.SUCCEEDED
    ]


def report(
    run_id: str, outcomes: Sequence[JobOutcome], given: Mapping[str, Any], *, as_json: bool
) -> int:
    """Sum up what happened, and return the exit code."""
    code = exit_code(outcomes)
    if as_json:
        dump(run_document(run_id, outcomes, code), sys.stdout)
    elif not given["quiet"]:
        print_summary(outcomes, sys.stderr)
        if len(outcomes) > 1 and any(outcome.outputs for outcome in outcomes):
            click.echo(f"compare them: mlcube-remote results show {run_id}", err=True)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    bugs = [error for error in errors if isinstance(error, UnexpectedError) and error.__cause__]
    for bug in bugs:
        report_crash(bug.__cause__ or bug, sys.stderr)
    # Of one job alone, nothing has come between what a build said and its end.
    is_seen = len(outcomes) == 1 and not given["quiet"]
    known = [
        each.brief() if is_seen and isinstance(each, ConfigureError) else each
        for each in errors
        if not isinstance(each, _TOLD) and each not in bugs
    ]
    # Whoever wants no table is still to know why a program that ended with 0 has failed.
    unsaid = _reasons(outcomes) if given["quiet"] and not as_json else []
    print_errors([*known, *unsaid], sys.stderr)
    if steps := next_steps(run_id, outcomes, can_rerun=Store().has(run_id, RUN)):
        click.echo(steps, err=True)
    if given.get("detach") and not as_json and code == 0:
        click.echo(run_id)
    return code
