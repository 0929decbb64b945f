# SPDX-License-Identifier: Apache-2.0
"""Which jobs of a run can run again. Jobs that may still be running are never started twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from mlcube_remote.events.outcome import Status
from mlcube_remote.runs.documents import Document

_SUCCEEDED = Status.SUCCEEDED.value
_FAILED = frozenset(
    status.value
    for status in (
        Status.FAILED,
        Status.KILLED,
        Status.CANCELLED,
        Status.LOST,
        Status.NOT_STARTED,
    )
)
_ENDED = _FAILED | {_SUCCEEDED}


@attrs.frozen(kw_only=True)
class RerunSelection:
    """The jobs of a run, sorted by whether they can run again."""

    attempts: Mapping[str, int]
    """Job to run again → number of its next attempt."""
    possibly_running: tuple[str, ...]
    """Jobs that are running or have an unknown state; they are skipped."""
    unpulled: tuple[str, ...] = ()
    """Jobs that succeeded on their hosts, and whose outputs are missing here; they are skipped."""
    unassigned: tuple[str, ...] = ()
    """Jobs without a host, which the client that started the run may still place."""


def job_name(job: Document) -> str:
    """Return the name of a job, unique in its run."""
    return str(job["job"] or job["host"])


def select_jobs(
    jobs: Collection[Document],
    *,
    failed: bool,
    hosts: Collection[str] = (),
    gone: Collection[str] = (),
) -> RerunSelection:
    """Select the jobs to run again.

    Args:
        jobs: The jobs, as in the index of the run's results.
        failed: Whether to skip jobs that succeeded, also those that only lack their outputs.
        hosts: Only jobs on these hosts; empty: on any host.
        gone: Hosts that are gone for good: nothing runs on them any longer.
    """
    considered = [job for job in jobs if not hosts or job["host"] in hosts]
    repeated = _FAILED if failed else _ENDED
    attempts: dict[str, int] = {}
    possibly_running: list[str] = []
    unassigned: list[str] = []
    unpulled: list[str] = []
    for job in considered:
        name = job_name(job)
        is_lost = job["status"] not in _ENDED and job["host"] in gone
        if failed and _is_unpulled(job) and job["host"] not in gone:
            unpulled.append(name)
        elif job["status"] in repeated or is_lost:
            attempts[name] = job["attempt"] + 1
        elif job["status"] not in _ENDED and job["host"] is None:
            unassigned.append(name)
        elif job["status"] not in _ENDED:
            possibly_running.append(name)
    return RerunSelection(
        attempts=attempts,
        possibly_running=tuple(possibly_running),
        unpulled=tuple(unpulled),
        unassigned=tuple(unassigned),
    )


def _is_unpulled(job: Document) -> bool:
    """Return whether all tasks of a job succeeded, and an error kept its outputs on the host."""
    tasks = [task["status"] for task in job["tasks"]]
    return job["status"] != _SUCCEEDED and job["error"] is not None and set(tasks) == {_SUCCEEDED}
