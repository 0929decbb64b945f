# SPDX-License-Identifier: Apache-2.0
"""The work on the jobs of a new run: one job on each host, or a pool of jobs and hosts."""

from __future__ import annotations

from functools import partial

from mlcube_remote.app.execute import Work
from mlcube_remote.app.options import DEFAULT_RETRY_ON, RunOptions
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.fanout import Decide, run_all
from mlcube_remote.scheduling.pool import run_pool
from mlcube_remote.scheduling.queue import build_queue, host_slots
from mlcube_remote.scheduling.scheduler import RetryOn, RetryPolicy


def work_on_hosts(jobs: tuple[JobSpec, ...], options: RunOptions) -> Work:
    """Return the work of a run with one job on each host."""

    def work(context: RunContext, decide: Decide) -> tuple[JobOutcome, ...]:
        pieces = [partial(run_job, job, context) for job in jobs]
        return run_all(pieces, context, parallel=options.start.parallel, decide=decide)

    return work


def work_in_pool(request: RunRequest, jobs: tuple[JobSpec, ...], options: RunOptions) -> Work:
    """Return the work of a run whose jobs go to whichever host is free.

    Raises:
        PlanError: The host where a job was launched is not among the hosts.
    """
    queue = build_queue(request, jobs, Store())
    policy = RetryPolicy(
        retries=options.sweep.retries,
        retry_on=frozenset(RetryOn(each) for each in options.sweep.retry_on or DEFAULT_RETRY_ON),
        patience=options.reconnect_timeout,
        parallel=options.start.parallel,
        waits=options.start.wait,
    )

    def work(context: RunContext, decide: Decide) -> tuple[JobOutcome, ...]:
        return run_pool(queue, host_slots(request), policy, context, decide=decide)

    return work
