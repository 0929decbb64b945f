# SPDX-License-Identifier: Apache-2.0
"""Delete this machine's record of a run when hosts have nothing of it any more.

The record of a run is needed to follow its jobs, to pull their outputs and to start those that
wait. So it stays as long as a job of the run may be on a host, or may start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from mlcube_remote.errors import RecordError
from mlcube_remote.events.outcome import Status
from mlcube_remote.files.staging import remove_staging
from mlcube_remote.jobs.handle import HandleError, from_document
from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.jobs.records import REMOVED
from mlcube_remote.runs.documents import Document, age_of
from mlcube_remote.runs.store import RUN, Store

_MAY_START_S = 30 * 86_400
"""Age of a run in seconds after which a job that was never started will not start."""


def forget_cleaned_runs(
    store: Store,
    before: Mapping[str, Collection[str]],
    surveys: Iterable[HostJobs],
    removed: Sequence[FoundJob],
) -> None:
    """Delete the records of runs whose last job was removed; mark removed jobs of other runs.

    Args:
        store: The records of this machine.
        before: Run → its jobs with a record before the hosts were asked.
        surveys: What the hosts had.
        removed: The jobs that were removed since then.
    """
    gone = {job.job_id for job in removed}
    listed = {
        answer.host.name: {job.job_id for job in answer.jobs} - gone
        for answer in surveys
        if answer.error is None
    }
    for run_id in {job.handle.run_id for job in removed if job.handle}:
        records = {job: store.read_if_valid(run_id, job, _ignore) for job in store.jobs(run_id)}
        is_left = any(
            _may_be_left(job_id, record, gone, listed) or job_id not in before.get(run_id, ())
            for job_id, record in records.items()
        )
        if is_left or _may_start(store.read_if_valid(run_id, RUN, _ignore), records):
            for job_id in gone & records.keys():
                store.write(run_id, job_id, {**records[job_id], REMOVED: True})
        else:
            forget_run(store, run_id)


def _may_be_left(
    job_id: str, record: Document, gone: Collection[str], listed: Mapping[str, Collection[str]]
) -> bool:
    """Return whether a job may still be on its host.

    Args:
        job_id: The job.
        record: Its record.
        gone: The jobs that were removed.
        listed: Host that gave an answer → the jobs that it has.
    """
    if job_id in gone or record.get(REMOVED) or record.get("status") == Status.NOT_STARTED.value:
        return False
    try:
        host = from_document(record["ticket"]).host
    except (HandleError, KeyError):
        return False  # no command could do anything with it
    return job_id in listed.get(host, {job_id})


def _may_start(run: Document, records: Mapping[str, Document]) -> bool:
    """Return whether a job of a run has no record yet: it waits for a host, or for its upload."""
    jobs = run.get("jobs")
    if not isinstance(jobs, list):
        return False
    names = {record.get("job") for record in records.values()} - {None, ""}
    waits = any(
        each.get("job") not in records if each.get("host") else each.get("name") not in names
        for each in jobs
    )
    age = age_of(run.get("created"))
    return waits and (age is None or age < _MAY_START_S)


def _ignore(_: str) -> None:
    """Print nothing about a damaged record: it is deleted with its run."""


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
