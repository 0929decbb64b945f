# SPDX-License-Identifier: Apache-2.0
"""Many hosts at once: every job gets an outcome, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from enum import Enum
from typing import Any

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.outcome import JobOutcome

DEFAULT_PARALLEL = 32
"""Hosts that are worked on at once."""


class OnInterrupt(Enum):
    """What an interrupt means to the jobs that run."""

    STOP = "stop"
    DETACH = "detach"


class Hangup(KeyboardInterrupt):
    """The terminal has gone, or somebody asked this process to end: never a wish to stop jobs."""


def run_all(
    work: Iterable[Callable[[], JobOutcome]],
    run: RunContext,
    *,
    parallel: int = DEFAULT_PARALLEL,
    decide: Callable[[], OnInterrupt] = lambda: OnInterrupt.STOP,
) -> tuple[JobOutcome, ...]:
    """Do all the work, at most ``parallel`` pieces at once, and return the outcomes in order.

    A keyboard interrupt asks ``decide`` whether the jobs are to stop (running tasks are ended,
    with their grace) or to be left alone, as an impatient second one while it is asked leaves
    them; a :class:`Hangup` always does. A further one leaves at once, with
    :class:`KeyboardInterrupt`.
    """
    todo = list(work)
    workers = max(1, min(parallel, len(todo)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mlcr-host")
    futures = [pool.submit(piece) for piece in todo]
    try:
        wait_with_interrupts(lambda: wait_all(futures), run, decide)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return tuple(future.result() for future in futures)


def wait_with_interrupts(
    wait: Callable[[], None], run: RunContext, decide: Callable[[], OnInterrupt]
) -> None:
    """Wait for jobs, and obey an interrupt meanwhile; see :func:`run_all`.

    Args:
        wait: Returns when all jobs are over; called again after an interrupt.
        run: The run that is to stop, or to be left.
        decide: Asked which of both.
    """
    try:
        wait()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Hangup) or _decided(decide) is OnInterrupt.DETACH:
            run.leave()
        else:
            run.stop()
        wait()


def _decided(decide: Callable[[], OnInterrupt]) -> OnInterrupt:
    """Return what is to be done; who is impatient does not want to lose anything by it."""
    try:
        return decide()
    except KeyboardInterrupt:
        return OnInterrupt.DETACH


def wait_all(futures: Iterable[Future[Any]]) -> None:
    """Wait until all are done."""
    pending = set(futures)
    while pending:
        # A bounded wait keeps the main thread open to signals.
        _, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
