# SPDX-License-Identifier: Apache-2.0
"""Run the jobs of a sweep, or of shards: each on any free host."""

from __future__ import annotations

from mlcube_remote.app.execute import ActiveRun
from mlcube_remote.app.options import RunOptions
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.scheduling.pool import PoolJob, run_pool
from mlcube_remote.scheduling.queue import host_slots
from mlcube_remote.scheduling.scheduler import RetryOn, RetryPolicy


def run_in_pool(
    queue: tuple[PoolJob, ...], request: RunRequest, options: RunOptions, active: ActiveRun
) -> tuple[JobOutcome, ...]:
    """Run the jobs of a queue, and return their outcomes."""
    policy = RetryPolicy(
        retries=options.sweep.retries,
        retry_on=frozenset(map(RetryOn, options.sweep.retry_on)),
        patience=options.reconnect_timeout,
        parallel=options.start.parallel,
        waits=options.start.wait,
    )
    return run_pool(queue, host_slots(request), policy, active.context, decide=active.decide)
