# SPDX-License-Identifier: Apache-2.0
"""This machine's record of a run and its jobs: which attempt of each job is the last one."""

from __future__ import annotations

from typing import Any

import attrs

from mlcube_remote.errors import RecordError
from mlcube_remote.jobs.handle import HandleError, JobHandle, from_document
from mlcube_remote.jobs.records import REMOVED, was_pulled, was_seen
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.store import RUN, Store


@attrs.frozen(kw_only=True)
class Attempt:
    """The recorded attempt of one job of a sweep."""

    job_id: str
    number: int
    host: str
    status: str
    handle: JobHandle
    is_seen: bool
    is_pulled: bool
    is_removed: bool


def last_attempts(run_id: str, store: Store) -> dict[str, Attempt]:
    """Return job name → last attempt, for the jobs of a sweep that were placed on a host."""
    found: dict[str, Attempt] = {}
    for job_id in store.jobs(run_id):
        handle, document = read_job(run_id, job_id, store)
        if handle is None or not handle.job:
            continue
        attempt = Attempt(
            job_id=job_id,
            number=int(document.get("attempt", 1)),
            host=handle.host,
            status=str(document.get("status")),
            handle=handle,
            is_seen=was_seen(document),
            is_pulled=was_pulled(document, handle),
            is_removed=bool(document.get(REMOVED)),
        )
        if handle.job not in found or found[handle.job].number < attempt.number:
            found[handle.job] = attempt
    return found


def current_jobs(run_id: str, store: Store) -> frozenset[str] | None:
    """Return the jobs of a recorded run that no later attempt has replaced; ``None``: no record.

    Raises:
        RecordError: Its record is damaged.
    """
    if not store.has(run_id, RUN):
        return None
    alone = {str(item["job"]) for item in read_run(run_id, store)["jobs"] if item["host"]}
    last = {attempt.job_id for attempt in last_attempts(run_id, store).values()}
    return frozenset(alone | last)


def read_run(run_id: str, store: Store) -> dict[str, Any]:
    """Return the record of a run, which lists its jobs.

    Raises:
        RecordError: It is damaged.
    """
    document = store.read(run_id, RUN)
    if document is None or not isinstance(document.get("jobs"), list):
        raise RecordError(
            f"the record of run {run_id} is incomplete",
            hint="name its hosts to ask them: --host=NAMES",
        )
    return document


def read_job(run_id: str, job_id: str, store: Store) -> tuple[JobHandle | None, Document]:
    """Return a job's handle, or ``None`` if it cannot be read, and the rest of its record."""
    document: Document = {}
    try:
        document = store.read(run_id, job_id) or {}
        return from_document(document["ticket"]), document
    except (RecordError, HandleError, KeyError):
        # The host has another copy.
        return None, document
