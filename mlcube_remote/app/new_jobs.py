# SPDX-License-Identifier: Apache-2.0
"""Run the jobs of a new run: one job per host, or a pool of jobs and hosts."""

from __future__ import annotations

from functools import partial

from mlcube_remote.app.execute import ActiveRun
from mlcube_remote.app.options import RunOptions
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.scheduling.fanout import run_all
from mlcube_remote.scheduling.pool import PoolJob, run_pool
from mlcube_remote.scheduling.queue import host_slots
from mlcube_remote.scheduling.scheduler import RetryOn, RetryPolicy


def run_on_each_host(
    jobs: tuple[JobSpec, ...], options: RunOptions, active: ActiveRun
) -> tuple[JobOutcome, ...]:
    """Run one job on each host."""
    work = [partial(run_job, job, active.context) for job in jobs]
    return run_all(work, active.context, parallel=options.start.parallel, decide=active.decide)


def run_in_pool(
    queue: tuple[PoolJob, ...], request: RunRequest, options: RunOptions, active: ActiveRun
) -> tuple[JobOutcome, ...]:
    """Run each job on any free host."""
    policy = RetryPolicy(
        retries=options.sweep.retries,
        retry_on=frozenset(map(RetryOn, options.sweep.retry_on)),
        patience=options.reconnect_timeout,
        parallel=options.start.parallel,
        waits=options.start.wait,
    )
    return run_pool(queue, host_slots(request), policy, active.context, decide=active.decide)
