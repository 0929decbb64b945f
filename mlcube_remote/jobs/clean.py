# SPDX-License-Identifier: Apache-2.0
"""Remove the directories and labelled containers of ended jobs from hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial

import attrs

from mlcube_remote.errors import HostError, RecordError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.attempts import current_jobs
from mlcube_remote.jobs.disk import is_pulled
from mlcube_remote.jobs.forget import forget_cleaned_runs
from mlcube_remote.jobs.query import FoundJob, HostJobs, query_all
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Connection

_TIMEOUT_S = 120.0


@attrs.frozen(kw_only=True)
class Cleaned:
    """The jobs that were removed from one host, and those that were kept."""

    host: str
    removed: tuple[FoundJob, ...] = ()
    """Jobs that were removed or, in a dry run, would be."""
    kept: tuple[FoundJob, ...] = ()
    """Jobs that are old enough, and have outputs that this machine has not pulled."""
    error: HostError | None = None


def clean_old(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    store: Store,
    older_than: float,
    with_outputs: bool = False,
    dry_run: bool = False,
) -> tuple[Cleaned, ...]:
    """Remove ended jobs from hosts, and this machine's record of a run with its last job.

    A job that has outputs which this machine has not pulled is kept: without it, no command finds
    them.

    Args:
        hosts: The hosts.
        connect: Opens a connection.
        store: The records of this machine.
        older_than: Minimum age of a job in seconds, counted from its start.
        with_outputs: Whether to remove also jobs whose outputs were not pulled.
        dry_run: Whether to report what would be removed, and remove nothing.
    """
    asked = tuple(hosts)
    before = {run_id: frozenset(store.jobs(run_id)) for run_id in store.runs()}
    surveys = query_all(asked, connect, everything=True)
    old = select_old(surveys, older_than)
    kept = {name: [] for name in old} if with_outputs else _select_unpulled(old, store)
    chosen = {name: _without(jobs, kept[name]) for name, jobs in old.items()}
    done = {} if dry_run else {each.host: each for each in clean_all(asked, chosen, connect, store)}
    removed = [job for each in done.values() for job in each.removed]
    forget_cleaned_runs(store, before, surveys, removed)
    found = {
        answer.host.name: Cleaned(
            host=answer.host.name,
            removed=tuple(chosen.get(answer.host.name, ())) if dry_run else (),
            error=answer.error,
        )
        for answer in surveys
    }
    return tuple(
        attrs.evolve(each, kept=tuple(kept.get(each.host, ())))
        for each in {**found, **done}.values()
    )


def _without(jobs: Sequence[FoundJob], others: Sequence[FoundJob]) -> list[FoundJob]:
    names = {job.job_id for job in others}
    return [job for job in jobs if job.job_id not in names]


def _select_unpulled(
    jobs: Mapping[str, Sequence[FoundJob]], store: Store
) -> dict[str, list[FoundJob]]:
    """Return host → the jobs with outputs that this machine has not pulled."""
    current = cache(partial(_read_current, store))  # a run is read once, however many jobs it has
    return {
        host: [job for job in each if _has_unpulled(job, store, current)]
        for host, each in jobs.items()
    }


def _has_unpulled(
    job: FoundJob, store: Store, current: Callable[[str], frozenset[str] | None]
) -> bool:
    handle = job.handle
    if handle is None or job.current is None or not any(each.outputs for each in handle.folders):
        return False  # nothing to pull
    if is_pulled(store, job.job_id, handle):
        return False
    # No command pulls the outputs of an attempt that another one has replaced.
    names = current(handle.run_id)
    return names is None or job.job_id in names


def _read_current(store: Store, run_id: str) -> frozenset[str] | None:
    """Return the jobs of a run that none has replaced; ``None``: no record tells."""
    try:
        return current_jobs(run_id, store)
    except RecordError:
        return None


def select_old(surveys: Iterable[HostJobs], older_than: float) -> dict[str, list[FoundJob]]:
    """Return host → ended jobs that are at least ``older_than`` seconds old."""
    return {
        answer.host.name: old
        for answer in surveys
        if (old := [job for job in answer.jobs if not job.is_live and job.age >= older_than])
    }


def clean_all(
    hosts: Iterable[Host],
    jobs: dict[str, list[FoundJob]],
    connect: Callable[[Host], Connection],
    store: Store,
) -> tuple[Cleaned, ...]:
    """Remove these jobs; each host checks again that they have ended.

    The host notes which jobs have outputs that this machine has not pulled, so that these outputs
    are not removed later without a word.
    """

    def work(host: Host) -> Cleaned:
        removed = []
        try:
            with closing(connect(host)) as connection:
                for job in jobs[host.name]:
                    removed += [job] if _remove(connection, host, job, store) else []
                connection.call("mlcr_remove_leftovers", host.remote_root, timeout=_TIMEOUT_S)
        except HostError as problem:
            return Cleaned(host=host.name, removed=tuple(removed), error=problem)
        return Cleaned(host=host.name, removed=tuple(removed))

    todo = [host for host in hosts if jobs.get(host.name)]
    with ThreadPoolExecutor(max(1, min(32, len(todo)))) as pool:
        return tuple(pool.map(work, todo))


def _remove(connection: Connection, host: Host, job: FoundJob, store: Store) -> bool:
    words = [host.remote_root, job.job_id]
    if not is_pulled(store, job.job_id, job.handle):
        words.append("unpulled")
    return connection.call("mlcr_remove_job", *words, timeout=_TIMEOUT_S).ok
