# SPDX-License-Identifier: Apache-2.0
"""``rerun``: run jobs of an earlier run again, with the options that it was started with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence

import attrs

from mlcube_remote.app.observer import Warn
from mlcube_remote.app.options import (
    DEFAULT_RECONNECT_TIMEOUT_S,
    HostOptions,
    JobFilter,
    RunOptions,
    StartOptions,
)
from mlcube_remote.app.record import read_options
from mlcube_remote.app.rerun_selection import RerunSelection, job_name, select_jobs
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.host_ranges import expand, split_all
from mlcube_remote.jobs.lookup import find_run_id, load_arguments
from mlcube_remote.runs.addresses import match_jobs, parse_address
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.runs.results_index import compile_index
from mlcube_remote.runs.store import Store


@attrs.frozen(kw_only=True)
class RerunChoice:
    """Which jobs of a run to run again, and the options that it was started with."""

    run_id: str
    folder: str
    """The directory that paths in the options are relative to."""
    recorded: RunOptions
    selection: RerunSelection
    gone: frozenset[str]
    """Hosts that are gone for good."""

    def options(
        self,
        start: StartOptions,
        *,
        reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S,
        retries: int | None = None,
        retry_on: frozenset[str] = frozenset(),
        fresh_outputs: bool | None = None,
        other_hosts: tuple[str, ...] = (),
    ) -> RunOptions:
        """Return the options of the rerun.

        Args:
            start: How to start the jobs; the recorded run may have started differently.
            reconnect_timeout: Seconds after which reconnecting to a host is abandoned.
            retries: Maximum retries per job; ``None``: as recorded.
            retry_on: Failures after which a job is retried; empty: as recorded.
            fresh_outputs: Whether all outputs must be made or updated; ``None``: as recorded.
            other_hosts: Hosts to run on instead. If each host has a job of its own, they make it
                a new run, because there a job is known by its host. Empty: as recorded.

        Raises:
            UsageError: An option does not apply to this run, or no host is left.
        """
        recorded = self.recorded
        is_pool = recorded.sweep.is_pool
        if not is_pool and (retries is not None or retry_on):
            name = "retries" if retries is not None else "retry-on"
            raise UsageError(
                f"--{name}: each host of run {self.run_id} has one job, which is not retried",
                hint=f"repeat as often as necessary: mlcube-remote rerun {self.run_id} --failed",
            )
        # If each host has its own job, no other host can run it: the host may be a new machine.
        names = tuple(name for name in recorded.hosts.names if not is_pool or name not in self.gone)
        if not names and not other_hosts:
            raise UsageError(
                f"--gone: run {self.run_id} has no other host than "
                f"{', '.join(recorded.hosts.names)}",
                hint="start a new run on other hosts: mlcube-remote run --host=NAMES …",
            )
        sweep = attrs.evolve(
            recorded.sweep,
            retries=recorded.sweep.retries if retries is None else retries,
            retry_on=retry_on or recorded.sweep.retry_on,
        )
        tasks = recorded.tasks
        if fresh_outputs is not None:
            tasks = attrs.evolve(tasks, fresh_outputs=fresh_outputs)
        is_new = bool(other_hosts) and not is_pool
        if is_new and len(self.selection.attempts) > 1:
            raise UsageError(
                f"--on: expected one job, not {', '.join(sorted(self.selection.attempts))}",
                hint=f"name it: {self.run_id}/{min(self.selection.attempts)}",
            )
        hosts = HostOptions(names=other_hosts or names, inventory=recorded.hosts.inventory)
        return attrs.evolve(
            recorded,
            tasks=tasks,
            hosts=hosts,
            sweep=sweep,
            run_id=new_run_id() if is_new else self.run_id,
            name="" if is_new else recorded.name,
            attempts=None if is_new else self.selection.attempts,
            start=start,
            reconnect_timeout=reconnect_timeout,
        )

    @contextlib.contextmanager
    def in_recorded_folder(self) -> Iterator[None]:
        """Change to the directory that the recorded paths are relative to, during the block."""
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(before)


def choose_jobs(text: str, which: JobFilter, warn: Warn) -> RerunChoice:
    """Return which jobs of a run to run again.

    Args:
        text: The run's name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        which: The jobs that the user wants.
        warn: Shows warnings about records.

    Raises:
        UsageError: This machine has not started such a run, or it has no job on one of the hosts.
    """
    store = Store()
    address = parse_address(text)
    run_id = find_run_id(address.run, store)
    if run_id is None:
        raise UsageError(
            f"no run {address.run!r} was started on this machine",
            hint="use the machine that started it, which has its arguments; or start a new run",
        )
    arguments = load_arguments(run_id, store)
    recorded = attrs.evolve(read_options(arguments.options), name=store.name_of(run_id))
    index = compile_index(run_id, store, warn)
    with_jobs = {str(job["host"]) for job in index["jobs"] if job["host"] is not None}
    gone = _host_names(which.gone, with_jobs | set(recorded.hosts.names))
    hosts = _host_names(which.hosts, with_jobs)
    jobs = _only([*which.jobs, *address.jobs], run_id, index["jobs"])
    selection = select_jobs(jobs, failed=which.failed, hosts=hosts, gone=gone)
    return RerunChoice(
        run_id=run_id, folder=arguments.folder, recorded=recorded, selection=selection, gone=gone
    )


def _only(patterns: Sequence[str], run_id: str, jobs: Sequence[Document]) -> Sequence[Document]:
    """Return the jobs that patterns mean, or all if there are none."""
    if not patterns:
        return jobs
    hosts = {job_name(job): str(job["host"] or "") for job in jobs}
    names = match_jobs(run_id, patterns, hosts)
    return [job for job in jobs if job_name(job) in names]


def _host_names(patterns: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """Return the hosts of a run that an option names."""
    try:
        names = frozenset(name for text in split_all(patterns) for name in expand(text))
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    if unknown := sorted(names - set(known)):
        raise UsageError(
            f"the run has no job on {', '.join(unknown)}",
            hint=f"it has jobs on {', '.join(sorted(known))}",
        )
    return names
