# SPDX-License-Identifier: Apache-2.0
"""Commands on the jobs of an earlier run: ``attach``, ``logs``, ``status``, ``stop``, ``pull``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.app.execute import Execution, open_run, run_each
from mlcube_remote.app.inventory import open_found, open_inventory, select_hosts
from mlcube_remote.app.known_hosts import known_hosts
from mlcube_remote.app.logins import Logins
from mlcube_remote.app.observer import Observe, RunReport, Warn
from mlcube_remote.app.options import (
    DEFAULT_RECONNECT_TIMEOUT_S,
    AskCredentials,
    HostOptions,
)
from mlcube_remote.dispatch.attach import AttachOptions as AttachOptions  # noqa: PLC0414 - exported
from mlcube_remote.dispatch.attach import attach_job, pull_job, status_job, stop_job
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import UsageError
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.jobs.lookup import (
    RecordedJob,
    RecordedRun,
    find_on_hosts,
    find_run_id,
    load_recorded,
    recorded_hosts,
    recorded_inventory,
)
from mlcube_remote.jobs.query import query_all
from mlcube_remote.runs.addresses import LAST, no_run_error, parse_address
from mlcube_remote.runs.store import Store


@attrs.frozen(kw_only=True)
class FoundRun:
    """A run, and how to log in to its hosts."""

    run: RecordedRun
    logins: Logins

    @property
    def seen(self) -> int:
        """Number of jobs that this machine has followed to their end."""
        return sum(job.is_seen for job in self.run.jobs)

    @property
    def on_host(self) -> frozenset[str]:
        """Names of the jobs whose outputs are still on their hosts."""
        return frozenset(job.name for job in self.run.jobs if not job.is_pulled)


def find_run(
    text: str,
    hosts: HostOptions,
    credentials: AskCredentials,
    warn: Warn,
    *,
    jobs: Iterable[str] = (),
) -> FoundRun:
    """Find the run that ``text`` means: in this machine's records, or else on the hosts.

    Args:
        text: A run's name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        hosts: Only jobs on these hosts, if any are named.
        credentials: Returns the secrets for the login; called once.
        warn: Shows warnings about records.
        jobs: Only these jobs, by name, number or host; empty: all.

    Raises:
        UsageError: There is no such run, or there are several, or it has no such job.
    """
    store = Store()
    address = parse_address(text)
    run_id = find_run_id(address.run, store)
    if run_id is None and address.run == LAST:
        raise no_run_error()
    recorded = None if run_id is None or hosts.inventory else recorded_inventory(run_id, store)
    inventory = open_found(recorded) if recorded else open_inventory(hosts.inventory)
    logins = Logins(inventory=inventory, credentials=credentials())
    if run_id is not None:
        chosen = select_hosts(inventory, hosts.names or recorded_hosts(run_id, store))
        run = load_recorded(run_id, store, chosen)
    else:
        chosen = (
            select_hosts(inventory, hosts.names) if hosts.names else known_hosts(inventory, warn)
        )
        answers = query_all(chosen, logins.connect, everything=True)
        run = find_on_hosts(
            address.run,
            answers,
            lambda name: Path.cwd() / "results" / name,
            map(store.name_of, store.runs()),
        )
    if not run.jobs and not hosts.names:
        raise UsageError(
            f"run {run.run_id} has no job on any host: clean removed them, or they got no host",
            hint=f"its results: mlcube-remote results show {run.run_id}; run jobs again: "
            f"mlcube-remote rerun {run.run_id}",
        )
    if not run.jobs:
        raise UsageError(
            f"run {run.run_id} has no job on {', '.join(hosts.names)}",
            hint=f"mlcube-remote status {run.run_id}",
        )
    return FoundRun(run=run.only([*jobs, *address.jobs]), logins=logins)


def on_each_job(
    found: FoundRun,
    work: Callable[[RecordedJob, RunContext], JobOutcome],
    observe: Observe,
    *,
    is_recorded: bool = True,
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S,
) -> RunReport:
    """Do something with each job of a run, and return the outcomes.

    Args:
        found: The run.
        work: Does it with one job.
        observe: Opens the observer of the jobs.
        is_recorded: Whether to record the outcomes on this machine.
        reconnect_timeout: Seconds after which reconnecting to a host is abandoned.
    """
    run = found.run
    execution = Execution(
        run_id=run.run_id,
        jobs=tuple(job.name for job in run.jobs),
        connect=found.logins.connect,
        store=Store() if is_recorded else None,
        results=run.results,
        shares_hosts=run.shares_hosts,
        reconnect_timeout=reconnect_timeout,
    )
    with open_run(execution, observe) as active:
        outcomes = run_each([partial(work, job) for job in run.jobs], active)
        active.finish(outcomes)
    return RunReport(run_id=run.run_id, outcomes=outcomes)


def follow_run(
    found: FoundRun,
    how: AttachOptions,
    observe: Observe,
    *,
    is_recorded: bool = True,
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S,
) -> RunReport:
    """Follow the jobs of a run; see :func:`on_each_job`.

    Args:
        found: The run.
        how: Which output to show, and whether to pull.
        observe: Opens the observer of the jobs.
        is_recorded: Whether to record the outcomes on this machine.
        reconnect_timeout: Seconds after which reconnecting to a host is abandoned.
    """

    def attach(job: RecordedJob, context: RunContext) -> JobOutcome:
        return attach_job(job, how, context)

    return on_each_job(
        found, attach, observe, is_recorded=is_recorded, reconnect_timeout=reconnect_timeout
    )


def read_status(
    found: FoundRun, observe: Observe, *, reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S
) -> RunReport:
    """Return the state of each job of a run; see :func:`on_each_job`."""
    return on_each_job(found, status_job, observe, reconnect_timeout=reconnect_timeout)


def pull_run(
    found: FoundRun,
    outputs: Iterable[str],
    observe: Observe,
    *,
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S,
) -> RunReport:
    """Pull outputs of a run; see :func:`on_each_job`.

    Args:
        found: The run.
        outputs: Names of the outputs; empty: all.
        observe: Opens the observer of the jobs.
        reconnect_timeout: Seconds after which reconnecting to a host is abandoned.
    """
    work = partial(pull_job, names=frozenset(outputs))
    return on_each_job(found, work, observe, reconnect_timeout=reconnect_timeout)


def stop_run(
    found: FoundRun,
    grace: float | None,
    observe: Observe,
    *,
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S,
) -> RunReport:
    """Stop the jobs of a run; see :func:`on_each_job`.

    Args:
        found: The run.
        grace: Seconds between SIGTERM and SIGKILL; ``None``: as the run was started with.
        observe: Opens the observer of the jobs.
        reconnect_timeout: Seconds after which reconnecting to a host is abandoned.
    """
    work = partial(stop_job, grace=None if grace is None else round(grace))
    return on_each_job(found, work, observe, reconnect_timeout=reconnect_timeout)
