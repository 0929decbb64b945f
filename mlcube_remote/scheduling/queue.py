# SPDX-License-Identifier: Apache-2.0
"""The queue of a sweep: new jobs, and those that an earlier client of the run has launched."""

from __future__ import annotations

from functools import partial

import attrs

from mlcube_remote.dispatch.pipeline import run_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import PlanError
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.jobs.attempts import Attempt, last_attempts
from mlcube_remote.jobs.records import record_outcome
from mlcube_remote.plan.assignment import make_job, slots
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.slurm import trials_per_job
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.pool import PoolJob
from mlcube_remote.scheduling.scheduler import HostSlots, JobStart


def host_slots(request: RunRequest) -> tuple[HostSlots, ...]:
    """Return the hosts of the pool, with no more slots than GPUs that the inventory lists."""
    return tuple(
        HostSlots(host=host.name, slots=slots(request, host), together=trials_per_job(host))
        for host in request.hosts
    )


def build_queue(
    request: RunRequest, jobs: tuple[JobSpec, ...], store: Store
) -> tuple[PoolJob, ...]:
    """Return the jobs to place, in their order.

    A job that an earlier client of the run may have launched can go to the same host only.

    Args:
        request: The request.
        jobs: Its jobs.
        store: This machine's records.

    Raises:
        PlanError: The host where a job was launched is not among the hosts, or a job was removed.
    """
    hosts = {host.name for host in request.hosts}
    # A rerun may start its jobs on any host.
    before = last_attempts(request.run_id, store) if request.again is None else {}
    return tuple(_pool_job(request, job, hosts, before.get(job.name), store) for job in jobs)


def _pool_job(
    request: RunRequest, job: JobSpec, hosts: set[str], last: Attempt | None, store: Store
) -> PoolJob:
    if last is not None and last.is_removed:
        raise PlanError(
            f"job {job.name} of run {request.run_id} has ended, and clean has removed it from "
            f"{last.host}",
            hint=f"run the other jobs: mlcube-remote rerun {request.run_id} --failed",
        )
    # A job that was claimed but not launched can go to any host.
    was_launched = last is not None and last.status != Status.NOT_STARTED.value
    host = last.host if last is not None and was_launched else None
    if host is not None and host not in hosts:
        raise PlanError(
            f"job {job.name} of run {request.run_id} was started on {host}, which is not among the "
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
    """Record the outcome of a job that got no host."""
    record_outcome(store, request.run_id, job_id, outcome, None)


def _work(request: RunRequest, job: JobSpec, start: JobStart, run: RunContext) -> JobOutcome:
    host = next(host for host in request.hosts if host.name == start.host)
    placed = make_job(request, host, job.trial, attempt=start.attempt)
    return run_job(placed, run, may_run=start.is_pinned, pack=start.pack)
