# SPDX-License-Identifier: Apache-2.0
"""``run`` and ``configure``: plan the jobs, record them, and run them on their hosts."""

from __future__ import annotations

from collections.abc import Callable

from mlcube_remote.app.hosts import Logins
from mlcube_remote.app.observer import Observe, RunReport, Warn
from mlcube_remote.app.options import Credentials, RunOptions
from mlcube_remote.app.record import record_run
from mlcube_remote.app.request import make_request
from mlcube_remote.files.rsync import outdated_warning
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.runs.results import home_of
from mlcube_remote.scheduling.preconnect import EarlyConnector


def run(
    options: RunOptions, credentials: Callable[[], Credentials], observe: Observe, warn: Warn
) -> RunReport:
    """Run tasks on hosts, and return how each job ended.

    Args:
        options: The options.
        credentials: Returns what the user types to log in; called once the plan is right.
        observe: Opens the observer of the jobs.
        warn: Shows warnings about this machine.

    Raises:
        UsageError: An option, or a file that it names, is wrong; no host was asked.
        PlanError: Cube, tasks and hosts do not fit together; no host was asked.
    """
    request, inventory = make_request(options)
    jobs = plan_jobs(request)
    logins = Logins(inventory=inventory, credentials=credentials())
    if any(not job.host.is_local for job in jobs) and (warning := outdated_warning()):
        warn(warning)
    work = None
    if request.trials:
        from mlcube_remote.app.work import work_in_pool  # noqa: PLC0415 - only for pools

        work = work_in_pool(request, jobs, options)
    # The record comes first, so that the run can be found whatever happens next.
    store = None if request.configure_only else record_run(request, jobs, options)
    connector = EarlyConnector(logins.connect)
    connector.begin(request.hosts, at_once=options.start.parallel)
    # These rooms are imported while the hosts answer.
    from mlcube_remote.app.execute import Execution, execute  # noqa: PLC0415
    from mlcube_remote.app.work import work_on_hosts  # noqa: PLC0415

    execution = Execution(
        run_id=request.run_id,
        jobs=tuple(job.name for job in jobs),
        connect=connector,
        store=store,
        results=None if store is None else home_of(request.run_id, store),
        shares_hosts=bool(request.trials),
        start=options.start,
        reconnect_timeout=options.reconnect_timeout,
    )
    try:
        outcomes = execute(execution, work or work_on_hosts(jobs, options), observe)
    finally:
        connector.close_idle()
    return RunReport(run_id=request.run_id, outcomes=outcomes)
