# SPDX-License-Identifier: Apache-2.0
"""Run one job on each of many hosts; every job gets an outcome, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from enum import Enum
from typing import Any

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import JobOutcome

DEFAULT_PARALLEL = 32
"""Default number of hosts to work on at once."""

_POLL_INTERVAL_S = 0.5
"""Maximum wait before the main thread can handle a signal."""


class OnInterrupt(Enum):
    """What an interrupt does to running jobs."""

    STOP = "stop"
    DETACH = "detach"


Decide = Callable[[], OnInterrupt]
"""Returns what an interrupt does; it may ask the user."""


class Hangup(KeyboardInterrupt):
    """The terminal is gone, or this process was asked to end: detach, never stop jobs."""


def run_all(
    work: Iterable[Callable[[], JobOutcome]],
    run: RunContext,
    *,
    parallel: int = DEFAULT_PARALLEL,
    decide: Callable[[], OnInterrupt] = lambda: OnInterrupt.STOP,
) -> tuple[JobOutcome, ...]:
    """Do all the work, at most ``parallel`` pieces at once, and return the outcomes in order.

    On a keyboard interrupt, ``decide`` chooses whether to stop the jobs (running tasks get their
    grace period) or to detach from them; a second interrupt while it asks detaches. A
    :class:`Hangup` always detaches. A further interrupt exits at once, with
    :class:`KeyboardInterrupt`.
    """
    todo = list(work)
    workers = max(1, min(parallel, len(todo)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mlcr-host")
    futures = [pool.submit(_work, piece, run) for piece in todo]
    try:
        wait_with_interrupts(futures, run, decide)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return tuple(future.result() for future in futures)


def _work(piece: Callable[[], JobOutcome], run: RunContext) -> JobOutcome:
    outcome = piece()
    run.job_events(outcome.host, outcome.job).finished(outcome)
    return outcome


def wait_with_interrupts(
    futures: Sequence[Future[Any]], run: RunContext, decide: Callable[[], OnInterrupt]
) -> None:
    """Wait for jobs, and handle an interrupt meanwhile; see :func:`run_all`.

    Args:
        futures: All are done when all jobs are over.
        run: The run to stop or to detach from.
        decide: Chooses which of the two.
    """
    try:
        wait_all(futures)
    except KeyboardInterrupt as interrupt:
        is_detaching = isinstance(interrupt, Hangup) or _decision(decide) is OnInterrupt.DETACH
        if all(future.done() for future in futures):
            what = "detach from" if is_detaching else "stop"
            text = f"all jobs had already ended: nothing was left to {what}"
            run.job_events("").note(Level.INFO, text)
        elif is_detaching:
            run.interrupts.detach()
        else:
            run.interrupts.stop()
        wait_all(futures)


def _decision(decide: Callable[[], OnInterrupt]) -> OnInterrupt:
    """Return the user's decision. An interrupt meanwhile detaches, which loses nothing."""
    try:
        return decide()
    except KeyboardInterrupt:
        return OnInterrupt.DETACH


def wait_all(futures: Iterable[Future[Any]]) -> None:
    """Wait until all are done."""
    pending = set(futures)
    while pending:
        # Signals are handled between two waits.
        _, pending = wait(pending, timeout=_POLL_INTERVAL_S, return_when=FIRST_COMPLETED)
