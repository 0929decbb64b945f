# SPDX-License-Identifier: Apache-2.0
"""Removing what ended jobs left on hosts: directories, and containers with our label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import attrs

from mlcube_remote.dispatch.staging import discard
from mlcube_remote.dispatch.survey import HostSurvey, SurveyedJob, survey_all
from mlcube_remote.dispatch.ticket import TicketError, from_document
from mlcube_remote.errors import HostError, RecordError
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.store import Store
from mlcube_remote.transport.base import Connection

_PATIENCE = 120.0


@attrs.frozen(kw_only=True)
class Cleaned:
    """What became of one host's jobs."""

    host: str
    removed: tuple[SurveyedJob, ...] = ()
    """What went, or would go."""
    error: HostError | None = None


def clean_old(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    store: Store,
    older_than: float,
    dry_run: bool = False,
) -> tuple[Cleaned, ...]:
    """Remove jobs that have ended, and what this machine remembers of their runs.

    Args:
        hosts: Where.
        connect: Opens a connection.
        store: Where this machine remembers its runs.
        older_than: Seconds since a job was begun.
        dry_run: Whether to tell what would go, and to remove nothing.
    """
    asked = tuple(hosts)
    surveys = survey_all(asked, connect, everything=True)
    old = to_clean(surveys, older_than)
    done = {} if dry_run else {each.host: each for each in clean_all(asked, old, connect)}
    for each in done.values():
        for run_id in {job.ticket.run_id for job in each.removed if job.ticket}:
            forget(store, run_id)
    told = {
        answer.host.name: Cleaned(
            host=answer.host.name,
            removed=tuple(old.get(answer.host.name, ())) if dry_run else (),
            error=answer.error,
        )
        for answer in surveys
    }
    return tuple({**told, **done}.values())


def to_clean(surveys: Iterable[HostSurvey], older_than: float) -> dict[str, list[SurveyedJob]]:
    """Return host → jobs that have ended and are older than so many seconds."""
    return {
        answer.host.name: old
        for answer in surveys
        if (old := [job for job in answer.jobs if not job.is_live and job.age >= older_than])
    }


def clean_all(
    hosts: Iterable[Host],
    jobs: dict[str, list[SurveyedJob]],
    connect: Callable[[Host], Connection],
) -> tuple[Cleaned, ...]:
    """Remove these jobs; each host looks once more whether they have ended."""

    def work(host: Host) -> Cleaned:
        removed = []
        try:
            with closing(connect(host)) as connection:
                for job in jobs[host.name]:
                    removed += [job] if _remove(connection, host, job) else []
                connection.call("mlcr_sweep", host.remote_root, timeout=_PATIENCE)
        except HostError as problem:
            return Cleaned(host=host.name, removed=tuple(removed), error=problem)
        return Cleaned(host=host.name, removed=tuple(removed))

    todo = [host for host in hosts if jobs.get(host.name)]
    with ThreadPoolExecutor(max(1, min(32, len(todo)))) as pool:
        return tuple(pool.map(work, todo))


def _remove(connection: Connection, host: Host, job: SurveyedJob) -> bool:
    reply = connection.call("mlcr_remove", host.remote_root, job.job_id, timeout=_PATIENCE)
    return reply.ok


def forget(store: Store, run_id: str) -> None:
    """Delete what this machine keeps of a run: its record, and what came of unfinished pulls."""
    for name in store.jobs(run_id):
        try:
            document = store.read(run_id, name) or {}
            folders = from_document(document["ticket"]).folders if "ticket" in document else ()
        except (RecordError, TicketError):
            continue  # what it says cannot be told any more, and it goes all the same
        for folder in folders:
            discard(folder.target, f"{run_id}-")
    store.forget(run_id)
