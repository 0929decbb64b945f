# SPDX-License-Identifier: Apache-2.0
"""``ps``: list the jobs on hosts, filtered, once or again and again."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import attrs

from mlcube_remote.app.hosts import ChosenHosts, list_jobs
from mlcube_remote.app.job_states import LIVE_STATES
from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.jobs.watch import JobWatcher
from mlcube_remote.runs.results_index import compile_index
from mlcube_remote.runs.store import Store


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
        last_attempts = cache(_last_attempts)  # a run is read once, however many jobs it has

        def is_listed(job: FoundJob) -> bool:
            return self._fits(job) and (self.everything or not _was_replaced(job, last_attempts))

        return tuple(
            attrs.evolve(answer, jobs=tuple(job for job in answer.jobs if is_listed(job)))
            for answer in answers
        )

    def _fits(self, job: FoundJob) -> bool:
        if self.states and job.shown_state.partition(" ")[0] not in self.states:
            return False
        cube = job.handle.cube if job.handle else ""
        return not self.cubes or any(fnmatch.fnmatchcase(cube, text) for text in self.cubes)


def _was_replaced(job: FoundJob, last_attempts: Callable[[str], Mapping[str, str]]) -> bool:
    """Return whether a job was lost or never started, and this machine knows a later attempt."""
    if job.state not in {"abandoned", "lost"} or job.handle is None:
        return False
    last = last_attempts(job.handle.run_id).get(job.handle.job or job.host)
    return last not in {None, job.job_id}


def _last_attempts(run_id: str) -> Mapping[str, str]:
    """Return job → id of its last attempt, of a run, as far as this machine has a record."""
    jobs = compile_index(run_id, Store(), lambda _: None)["jobs"]
    return {str(job["job"] or job["host"]): str(job["id"]) for job in jobs}


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
