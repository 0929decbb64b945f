# SPDX-License-Identifier: Apache-2.0
"""Remove the directories and labelled containers of ended jobs from hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import attrs

from mlcube_remote.errors import HostError, RecordError
from mlcube_remote.files.staging import remove_staging
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.disk import is_pulled
from mlcube_remote.jobs.handle import HandleError, from_document
from mlcube_remote.jobs.query import FoundJob, HostJobs, query_all
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Connection

_TIMEOUT_S = 120.0


@attrs.frozen(kw_only=True)
class Cleaned:
    """The jobs removed from one host."""

    host: str
    removed: tuple[FoundJob, ...] = ()
    """Jobs that were removed or, in a dry run, would be."""
    error: HostError | None = None


def clean_old(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    store: Store,
    older_than: float,
    dry_run: bool = False,
) -> tuple[Cleaned, ...]:
    """Remove ended jobs from hosts, and the records of their runs from this machine.

    Args:
        hosts: The hosts.
        connect: Opens a connection.
        store: The records of this machine.
        older_than: Minimum age of a job in seconds, counted from its start.
        dry_run: Whether to report what would be removed, and remove nothing.
    """
    asked = tuple(hosts)
    surveys = query_all(asked, connect, everything=True)
    old = select_old(surveys, older_than)
    done = {} if dry_run else {each.host: each for each in clean_all(asked, old, connect, store)}
    for each in done.values():
        for run_id in {job.handle.run_id for job in each.removed if job.handle}:
            forget_run(store, run_id)
    found = {
        answer.host.name: Cleaned(
            host=answer.host.name,
            removed=tuple(old.get(answer.host.name, ())) if dry_run else (),
            error=answer.error,
        )
        for answer in surveys
    }
    return tuple({**found, **done}.values())


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


def forget_run(store: Store, run_id: str) -> None:
    """Delete this machine's record of a run, and the staging directories of unfinished pulls."""
    for name in store.jobs(run_id):
        try:
            document = store.read(run_id, name) or {}
            folders = from_document(document["ticket"]).folders if "ticket" in document else ()
        except (RecordError, HandleError):
            continue  # an unreadable record names no directories; it is deleted all the same
        for folder in folders:
            remove_staging(folder.target, f"{run_id}-")
    store.forget(run_id)
