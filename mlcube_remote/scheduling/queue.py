# SPDX-License-Identifier: Apache-2.0
"""The jobs of a sweep, as a pool takes them: new ones, and those that an earlier client began."""

from __future__ import annotations

from functools import partial

import attrs

from mlcube_remote.dispatch.finish import RetryDecision
from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import PlanError
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.jobs.lookup import Attempt, last_attempts
from mlcube_remote.jobs.records import record_outcome
from mlcube_remote.plan.assignment import make_job, slots
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.pool import PoolJob
from mlcube_remote.scheduling.scheduler import HostSlots, JobStart


def host_slots(request: RunRequest) -> tuple[HostSlots, ...]:
    """Return the hosts of the pool, with no more slots than GPUs that the inventory lists."""
    return tuple(HostSlots(host=host.name, slots=slots(request, host)) for host in request.hosts)


def build_queue(
    request: RunRequest, jobs: tuple[JobSpec, ...], store: Store
) -> tuple[PoolJob, ...]:
    """Return the jobs to place, in their order.

    One that an earlier client of the run may have begun goes where that was, and nowhere else.

    Args:
        request: What was asked.
        jobs: As planned.
        store: Where this machine remembers its runs.

    Raises:
        PlanError: The host where a job was begun is not among the hosts.
    """
    hosts = {host.name for host in request.hosts}
    # What is run again on purpose is begun anew, wherever it was.
    before = last_attempts(request.run_id, store) if request.again is None else {}
    return tuple(_pool_job(request, job, hosts, before.get(job.name), store) for job in jobs)


def _pool_job(
    request: RunRequest, job: JobSpec, hosts: set[str], last: Attempt | None, store: Store
) -> PoolJob:
    # What was claimed but not launched may be begun anywhere.
    was_begun = last is not None and last.status != Status.NOT_STARTED.value
    host = last.host if last is not None and was_begun else None
    if host is not None and host not in hosts:
        raise PlanError(
            f"job {job.name} of run {request.run_id} was begun on {host}, which is not among the "
            "hosts",
            hint=f"name it too: --host={','.join((*sorted(hosts), host))}",
        )
    attempt = job.attempt if last is None else last.number
    return PoolJob(
        name=job.name,
        parameters=job.parameters,
        tasks=request.tasks,
        work=partial(_work, request, job),
        host=host,
        attempt=attempt,
        note=partial(_note, request, attrs.evolve(job, attempt=attempt).id, store),
    )


def _note(request: RunRequest, job_id: str, store: Store, outcome: JobOutcome) -> None:
    """Remember how a job ended that no host has heard of."""
    record_outcome(store, request.run_id, job_id, outcome, None)


def _work(
    request: RunRequest, job: JobSpec, start: JobStart, run: RunContext, settle: RetryDecision
) -> JobOutcome:
    host = next(host for host in request.hosts if host.name == start.host)
    placed = make_job(request, host, job.trial, attempt=start.attempt)
    return run_job(placed, run, settle, may_run=start.is_pinned)
