# SPDX-License-Identifier: Apache-2.0
"""What every command that works on jobs has in common: events, records and interrupts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.app.observer import Observe, Observer
from mlcube_remote.app.options import DEFAULT_PARALLEL, DEFAULT_RECONNECT_TIMEOUT_S, StartOptions
from mlcube_remote.dispatch.connections import Connect
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.model import Event, EventSink
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.fanout import OnInterrupt, run_all

if TYPE_CHECKING:
    from mlcube_remote.files.sources import Sources
    from mlcube_remote.runs.expected_sources import ExpectedSources


@attrs.frozen(kw_only=True)
class Execution:
    """The jobs of one command, and what they need."""

    run_id: str
    jobs: tuple[str, ...]
    """Names of the jobs."""
    connect: Connect
    store: Store | None
    """This machine's records; ``None``: nothing is recorded."""
    sources: Callable[[], Sources] | None = None
    """Returns what the run is made from, and may wait for it; ``None``: not known."""
    expected: ExpectedSources | None = None
    """What the jobs must be made from; ``None``: anything."""
    results: Path | None = None
    """Directory for the index of the run's results; ``None``: there is none."""
    shown: frozenset[str] = frozenset()
    """Warnings that were shown already."""
    shares_hosts: bool = False
    """Whether a host has several jobs, so that connections are kept for the next one."""
    start: StartOptions = StartOptions()
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S


@attrs.frozen(kw_only=True)
class ActiveRun:
    """A run whose events are observed."""

    context: RunContext
    """What its jobs share."""
    observer: Observer

    def decide(self) -> OnInterrupt:
        """Return what an interrupt does to running jobs."""
        return self.observer.decide()

    def finish(self, outcomes: Sequence[JobOutcome]) -> None:
        """Report that all jobs have ended."""
        self.observer.finish(outcomes, time.monotonic() - self.context.began)


@contextlib.contextmanager
def open_run(execution: Execution, observe: Observe) -> Iterator[ActiveRun]:
    """Provide the context of a run's jobs, and report their events, during the block."""
    with contextlib.ExitStack() as stack:
        observer = stack.enter_context(observe(execution.run_id, execution.jobs))
        sinks: list[EventSink] = [observer.handle]
        if execution.store is not None and execution.results is not None:
            index = _index_results(execution.run_id, execution.store, execution.results, observer)
            sinks.append(stack.enter_context(index))
        context = RunContext(
            connect=execution.connect,
            sink=lambda event: _emit(sinks, event),
            store=execution.store,
            sources=execution.sources,
            expected=execution.expected,
            shown=execution.shown,
            detach=execution.start.detach,
            wait=execution.start.wait,
            keeps=execution.shares_hosts,
            reconnect_timeout=execution.reconnect_timeout,
        )
        stack.callback(context.connections.close)
        stack.callback(context.images.close)
        if limit := execution.start.max_failures:
            from mlcube_remote.scheduling.failure_limit import FailureLimit  # noqa: PLC0415 - rare

            jobs = len(execution.jobs)
            sinks.append(FailureLimit(run=context, most=limit, jobs=jobs).handle)
        yield ActiveRun(context=context, observer=observer)


def run_each(
    work: Iterable[Callable[[RunContext], JobOutcome]],
    active: ActiveRun,
    *,
    parallel: int = DEFAULT_PARALLEL,
) -> tuple[JobOutcome, ...]:
    """Do the work on each job, several at the same time, and return the outcomes in order."""
    pieces = [partial(piece, active.context) for piece in work]
    return run_all(pieces, active.context, parallel=parallel, decide=active.decide)


def _emit(sinks: Sequence[EventSink], event: Event) -> None:
    for sink in sinks:
        sink(event)


@contextlib.contextmanager
def _index_results(
    run_id: str, store: Store, results: Path, observer: Observer
) -> Iterator[EventSink]:
    """Keep the index of the results up to date during the block."""
    from mlcube_remote.jobs.results_index import ResultsIndexer  # noqa: PLC0415 - not for each run

    indexer = ResultsIndexer(store=store, run_id=run_id, home=results)
    try:
        yield indexer.handle
    finally:
        indexer.write()
        for problem in indexer.problems:
            observer.warn(problem)
