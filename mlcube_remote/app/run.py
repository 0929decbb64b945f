# SPDX-License-Identifier: Apache-2.0
"""``run`` and ``configure``: plan the jobs, record them, and run them on their hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mlcube_remote.app.logins import Logins
from mlcube_remote.app.observer import Observe, RunReport, Warn
from mlcube_remote.app.options import AskCredentials, RunOptions
from mlcube_remote.app.record import record_run
from mlcube_remote.app.request import make_request
from mlcube_remote.app.sampling import with_seed
from mlcube_remote.dispatch.connections import Connect
from mlcube_remote.errors import UsageError
from mlcube_remote.files.complete_inputs import check_complete
from mlcube_remote.files.rsync import outdated_warning
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import plan_placed
from mlcube_remote.plan.missing_recipe import missing_recipe
from mlcube_remote.plan.plan import plan_placed_jobs
from mlcube_remote.runs.results_index import results_directory
from mlcube_remote.runs.store import Store
from mlcube_remote.scheduling.preconnect import EarlyConnector
from mlcube_remote.transport import import_libraries

if TYPE_CHECKING:
    from mlcube_remote.app.execute import ActiveRun
    from mlcube_remote.events.outcome import JobOutcome
    from mlcube_remote.files.sources import Sources
    from mlcube_remote.runs.expected_sources import ExpectedSources
    from mlcube_remote.scheduling.pool import PoolJob


def run(
    options: RunOptions,
    credentials: AskCredentials,
    observe: Observe,
    warn: Warn,
    connect: Connect | None = None,
    *,
    expected: ExpectedSources | None = None,
) -> RunReport:
    """Run tasks on hosts, and return how each job ended.

    Args:
        options: The options.
        credentials: Returns the secrets for the login; called once the plan is right.
        observe: Opens the observer of the jobs.
        warn: Shows warnings about this machine.
        connect: Opens the connections to the hosts; ``None``: this function logs in.
        expected: What the jobs must be made from; ``None``: anything.

    Raises:
        UsageError: An option is wrong, or cube and hosts do not fit; no host was asked.
    """
    options = with_seed(options)
    request, inventory = make_request(options)
    _check_connections(request, connect)
    jobs, shown = _plan(request, inventory, warn)
    sources = _require_sources(expected, jobs, warn)
    logins = Logins(inventory=inventory, credentials=credentials())
    _warn_about_rsync(jobs, warn)
    queue = _build_queue(request, jobs)
    # The record comes first, so that the run can be found whatever happens next.
    store = None if request.configure_only else record_run(request, jobs, options)
    connector = _begin_to_connect(request.hosts, connect, logins, options.start.parallel)
    # All this happens while the hosts answer.
    if sources is None and store is not None:
        sources = _begin_reading(jobs[0])
    from mlcube_remote.app.execute import Execution, open_run, run_each  # noqa: PLC0415
    from mlcube_remote.dispatch.pipeline import run_job  # noqa: PLC0415
    from mlcube_remote.remote import supervisor  # noqa: PLC0415

    supervisor()  # reads the shell library
    execution = Execution(
        run_id=request.run_id,
        jobs=tuple(job.name for job in jobs),
        connect=connector,
        store=store,
        sources=sources,
        expected=expected,
        shown=shown,
        results=None if store is None else results_directory(request.run_id, store),
        shares_hosts=bool(request.trials),
        start=options.start,
        reconnect_timeout=options.reconnect_timeout,
    )
    try:
        with open_run(execution, observe) as active:
            if request.trials:
                outcomes = _run_in_pool(queue, request, options, active)
            else:
                work = [partial(run_job, job) for job in jobs]
                outcomes = run_each(work, active, parallel=options.start.parallel)
            active.finish(outcomes)
    finally:
        connector.close_idle()
    return RunReport(run_id=request.run_id, outcomes=outcomes)


def _begin_to_connect(
    hosts: Sequence[Host], connect: Connect | None, logins: Logins, at_once: int
) -> EarlyConnector:
    connector = EarlyConnector(connect or logins.connect)
    connector.begin(hosts, at_once=at_once)
    if connect is None:
        # Before other modules, because the connections wait for them.
        import_libraries(hosts)
    return connector


def _run_in_pool(
    queue: tuple[PoolJob, ...], request: RunRequest, options: RunOptions, active: ActiveRun
) -> tuple[JobOutcome, ...]:
    from mlcube_remote.app.pool import run_in_pool  # noqa: PLC0415 - only for pools

    return run_in_pool(queue, request, options, active)


def _begin_reading(job: JobSpec) -> Callable[[], Sources]:
    from mlcube_remote.files.sources import begin_reading  # noqa: PLC0415 - slow to import

    return begin_reading(job)


def _require_sources(
    expected: ExpectedSources | None, jobs: Sequence[JobSpec], warn: Warn
) -> Callable[[], Sources] | None:
    """Return the sources of a run that must be as recorded; ``None``: they may be anything."""
    if expected is None:
        return None
    from mlcube_remote.app.sources import require_sources_here  # noqa: PLC0415 - few runs need it

    return require_sources_here(expected, jobs, warn)


def _check_connections(request: RunRequest, connect: Connect | None) -> None:
    """Refuse other hosts as sources of the image if only one can be connected to.

    Raises:
        UsageError: The caller opens the connections.
    """
    if connect is not None and request.image_sources:
        raise UsageError(
            "image_source: the image cannot come from another host on the caller's connection",
            hint="name the hosts, and let mlcube-remote connect",
        )


def _plan(
    request: RunRequest, inventory: Inventory, warn: Warn
) -> tuple[tuple[JobSpec, ...], frozenset[str]]:
    """Plan the jobs, and check that their inputs would arrive complete; also return what it shows.

    A recipe that does not exist is named here: a host notices it only if it cannot pull the image.
    """
    for note in inventory.notes:
        warn(note)
    placed = plan_placed_jobs(request)
    if not request.configure_only:
        for warning in check_complete(placed):
            warn(warning)
    first = plan_placed(placed[0], None)
    text = missing_recipe(first.spec.cube, first.settings, first.image)
    if text:
        warn(text)
    return tuple(job.spec for job in placed), frozenset({text} if text else ())


def _warn_about_rsync(jobs: Iterable[JobSpec], warn: Warn) -> None:
    """Warn if this machine's rsync is outdated, and is needed."""
    if any(not job.host.is_local for job in jobs) and (warning := outdated_warning()):
        warn(warning)


def _build_queue(request: RunRequest, jobs: tuple[JobSpec, ...]) -> tuple[PoolJob, ...]:
    """Return the jobs to place on free hosts; empty if each host has one job.

    Raises:
        PlanError: The host where a job was launched is not among the hosts.
    """
    if not request.trials:
        return ()
    from mlcube_remote.scheduling.queue import build_queue  # noqa: PLC0415 - slow, only for pools

    return build_queue(request, jobs, Store())
