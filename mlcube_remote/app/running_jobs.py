# SPDX-License-Identifier: Apache-2.0
"""Which recorded jobs and runs still run: their hosts know, and the records may be old."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlcube_remote.app.follow import FoundRun, find_run
from mlcube_remote.app.options import Credentials, HostOptions
from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.jobs.lookup import RecordedJob
from mlcube_remote.jobs.query import query_all


def find_live_jobs(found: FoundRun, *, without: Collection[str] = ()) -> list[RecordedJob]:
    """Ask the hosts of a run which of its jobs run; one without an answer may run all of its own.

    Args:
        found: The run.
        without: States of jobs that do not count.
    """
    candidates = [job for job in found.run.jobs if job.may_run and not job.is_seen]
    hosts = {job.host.name: job.host for job in candidates}
    answers = query_all(hosts.values(), found.logins.connect, everything=False)
    silent = {answer.host.name for answer in answers if answer.error is not None}
    live = {
        job.job_id
        for answer in answers
        for job in answer.jobs
        if job.is_live and job.state not in without
    }
    return [job for job in candidates if job.job_id in live or job.host.name in silent]


def find_live_runs(run_ids: Sequence[str]) -> list[str]:
    """Return the recorded runs that have a job which may run, as their hosts say.

    The user is not asked for secrets. A run whose hosts are in no inventory any more cannot be
    reached by other commands either, and does not count.
    """
    with ThreadPoolExecutor(max(1, len(run_ids))) as pool:
        answers = list(pool.map(_is_live, run_ids))
    return [run_id for run_id, is_live in zip(run_ids, answers, strict=True) if is_live]


def _is_live(run_id: str) -> bool:
    try:
        found = find_run(run_id, HostOptions(), Credentials, lambda _: None)
    except MLCubeRemoteError:
        return False
    return bool(find_live_jobs(found))
