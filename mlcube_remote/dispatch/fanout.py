# SPDX-License-Identifier: Apache-2.0
"""Many hosts at once: every job gets an outcome, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from mlcube_remote.dispatch.outcome import JobOutcome
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.plan import Job
from mlcube_remote.dispatch.run import Run

DEFAULT_PARALLEL = 32
"""Hosts that are worked on at once."""


def run_all(
    jobs: Iterable[Job], run: Run, *, parallel: int = DEFAULT_PARALLEL
) -> tuple[JobOutcome, ...]:
    """Do all jobs, at most ``parallel`` at once, and return their outcomes in order.

    A keyboard interrupt asks the jobs to stop (running tasks are ended, with their grace); a
    second one leaves at once, with :class:`KeyboardInterrupt`.
    """
    todo = list(jobs)
    workers = max(1, min(parallel, len(todo)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mlcr-host")
    futures = [pool.submit(run_job, job, run) for job in todo]
    try:
        _wait_all(futures)
    except KeyboardInterrupt:
        run.stop()
        _wait_all(futures)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return tuple(future.result() for future in futures)


def _wait_all(futures: Iterable[Future[JobOutcome]]) -> None:
    pending = set(futures)
    while pending:
        # A bounded wait keeps the main thread open to signals.
        _, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
