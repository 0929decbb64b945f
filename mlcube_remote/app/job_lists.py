# SPDX-License-Identifier: Apache-2.0
"""``ps``: list the jobs on hosts, filtered, once or again and again."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence

import attrs

from mlcube_remote.app.hosts import ChosenHosts, list_jobs
from mlcube_remote.app.job_states import LIVE_STATES
from mlcube_remote.errors import RecordError
from mlcube_remote.jobs.lookup import last_attempts
from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.jobs.watch import JobWatcher
from mlcube_remote.runs.store import RUN, Store


@attrs.frozen(kw_only=True)
class JobListFilter:
    """Which jobs are listed."""

    everything: bool = False
    """Whether to list jobs that have ended, too."""
    states: frozenset[str] = frozenset()
    """Only jobs in these states, as shown to users; empty: in any."""
    cubes: tuple[str, ...] = ()
    """Only jobs of these cubes: names and globs; empty: of any."""

    @property
    def needs_ended(self) -> bool:
        """Whether hosts must be asked for jobs that have ended."""
        return self.everything or not self.states.issubset(LIVE_STATES)

    def apply(self, answers: Sequence[HostJobs]) -> tuple[HostJobs, ...]:
        """Return the answers with the jobs that are listed."""
        return tuple(
            attrs.evolve(answer, jobs=tuple(job for job in answer.jobs if self._fits(job)))
            for answer in answers
        )

    def _fits(self, job: FoundJob) -> bool:
        is_gone = job.state in {"abandoned", "lost"}
        if is_gone and not self.everything and was_repeated(job, Store()):
            return False
        if self.states and job.shown_state.partition(" ")[0] not in self.states:
            return False
        cube = job.handle.cube if job.handle else ""
        return not self.cubes or any(fnmatch.fnmatchcase(cube, text) for text in self.cubes)


def was_repeated(job: FoundJob, store: Store) -> bool:
    """Return whether this machine has a record of a later attempt of a job."""
    if job.handle is None:
        return False
    run_id, name = job.handle.run_id, job.handle.job
    try:
        if name:
            last = last_attempts(run_id, store).get(name)
            return last is not None and last.job_id != job.job_id
        jobs = (store.read(run_id, RUN) or {}).get("jobs", [])
    except RecordError:
        return False
    return any(each["name"] == job.host and each["job"] != job.job_id for each in jobs)


def list_filtered(chosen: ChosenHosts, which: JobListFilter) -> tuple[HostJobs, ...]:
    """Return the jobs on hosts that a filter lists."""
    return which.apply(list_jobs(chosen, everything=which.needs_ended))


@contextlib.contextmanager
def watching(
    chosen: ChosenHosts, which: JobListFilter
) -> Iterator[Callable[[], tuple[HostJobs, ...]]]:
    """Provide a function that lists the jobs now; connections stay open during the block."""
    watcher = JobWatcher(
        hosts=chosen.hosts, connect=chosen.logins.connect, everything=which.needs_ended
    )
    with contextlib.closing(watcher):
        yield lambda: which.apply(watcher.query())
