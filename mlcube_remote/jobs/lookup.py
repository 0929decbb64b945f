# SPDX-License-Identifier: Apache-2.0
"""Find the jobs of a run by its id: in this machine's records, else by asking the hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.events.outcome import Status
from mlcube_remote.inventory.locate import FoundInventory
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.attempts import Attempt, last_attempts, read_job, read_run
from mlcube_remote.jobs.handle import JobHandle, with_results_in
from mlcube_remote.jobs.query import HostJobs
from mlcube_remote.jobs.records import ENDED, REMOVED, was_pulled, was_seen
from mlcube_remote.runs.addresses import can_be_id, match_jobs
from mlcube_remote.runs.results_index import results_directory
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.suggestions import did_you_mean


@attrs.frozen(kw_only=True)
class RecordedJob:
    """One job of a run."""

    run_id: str
    host: Host
    job_id: str
    handle: JobHandle | None
    """``None`` if this machine has no record of it; its host has one."""
    job: str = ""
    """Its name in a sweep or among shards; empty if each host has one job."""

    attempt: int = 1
    """Number of the attempt, counted from 1."""
    is_seen: bool = False
    """Whether this machine has followed it to its end and pulled its outputs."""
    is_pulled: bool = False
    """Whether this machine has all its outputs, or it has none to pull."""
    may_run: bool = True
    """Whether it may have started; false if this machine has recorded that it was not."""
    is_removed: bool = False
    """Whether ``clean`` of this machine has removed it from its host."""

    @property
    def name(self) -> str:
        """The job's name, unique in its run."""
        return self.job or self.host.name


@attrs.frozen(kw_only=True)
class RecordedRun:
    """A run that this or another machine started."""

    run_id: str
    jobs: tuple[RecordedJob, ...]
    results: Path | None
    """Directory of its results; ``None`` if its one job's outputs go to the workspace."""

    @property
    def shares_hosts(self) -> bool:
        """Whether one host has several of the jobs."""
        return len({job.host.name for job in self.jobs}) < len(self.jobs)

    def only(self, patterns: Iterable[str]) -> RecordedRun:
        """Return the run with the jobs that patterns mean; see :func:`match_jobs`.

        Raises:
            UsageError: A pattern means no job.
        """
        wanted = tuple(patterns)
        if not wanted:
            return self
        hosts = {job.name: job.host.name for job in self.jobs}
        names = match_jobs(self.run_id, wanted, hosts)
        return attrs.evolve(self, jobs=tuple(job for job in self.jobs if job.name in names))


def find_run_id(text: str, store: Store) -> str | None:
    """Return the id of the recorded run that ``text`` means, or ``None``.

    Raises:
        UsageError: It may mean several runs.
    """
    # The record of a run that another machine started is incomplete: only some of its jobs.
    found = [name for name in store.matching(text) if store.has(name, RUN)]
    if len(found) > 1:
        raise UsageError(
            f"run {text!r} is ambiguous: {', '.join(found[:5])}{' …' if len(found) > 5 else ''}",
            hint="give more characters of its id",
        )
    return found[0] if found else None


def recorded_hosts(run_id: str, store: Store) -> list[str]:
    """Return the texts that select the hosts of a recorded run: names, or ``user@host:port``.

    Raises:
        RecordError: Its record is damaged.
    """
    placed = last_attempts(run_id, store)
    document = read_run(run_id, store)
    names = [item["host"] or _host_of(item, placed) for item in document["jobs"]]
    return [_selector(document, name) for name in dict.fromkeys(names) if name is not None]


def _selector(document: Mapping[str, Any], host: str) -> str:
    """Return the text that selects a host of a run: the user may have typed its address."""
    selectors = document.get("selectors")
    return str(selectors.get(host, host) if isinstance(selectors, dict) else host)


def reached_hosts(run_id: str, store: Store) -> dict[str, bool]:
    """Return the hosts where a recorded run has, or had, a job → whether one may still run.

    A host without a record of a job was never reached: the record is written before the launch.

    Raises:
        RecordError: The record of the run is damaged.
    """
    if not store.has(run_id, RUN):
        return {}
    run = read_run(run_id, store)
    planned = {str(item["job"]): item["host"] for item in run["jobs"]}
    hosts: dict[str, bool] = {}
    for job_id in store.jobs(run_id):
        handle, document = read_job(run_id, job_id, store)
        host = handle.host if handle else planned.get(job_id)
        if host is not None and document.get("status") != Status.NOT_STARTED.value:
            may_run = document.get("status") not in ENDED
            name = _selector(run, str(host))
            hosts[name] = hosts.get(name, False) or may_run
    return hosts


def recorded_inventory(run_id: str, store: Store) -> FoundInventory | None:
    """Return the inventory file that a recorded run used, if it still exists."""
    document = read_run(run_id, store)
    path, cube = document.get("inventory"), document.get("inventory_cube")
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    return FoundInventory(path=Path(path), cube=Path(cube) if isinstance(cube, str) else None)


def load_recorded(run_id: str, store: Store, hosts: Iterable[Host]) -> RecordedRun:
    """Return the jobs of a recorded run on these hosts; those that were removed are gone.

    Raises:
        RecordError: Its record is damaged.
    """
    by_name = {host.name: host for host in hosts}
    placed = last_attempts(run_id, store)
    jobs = [
        _single_job(run_id, item, by_name[item["host"]], store)
        if item["host"] is not None
        else RecordedJob(
            run_id=run_id,
            host=by_name[placed[item["name"]].host],
            job_id=placed[item["name"]].job_id,
            attempt=placed[item["name"]].number,
            handle=placed[item["name"]].handle,
            is_seen=placed[item["name"]].is_seen,
            is_pulled=placed[item["name"]].is_pulled,
            may_run=placed[item["name"]].status != Status.NOT_STARTED.value,
            is_removed=placed[item["name"]].is_removed,
            job=str(item["name"]),
        )
        for item in read_run(run_id, store)["jobs"]
        if (item["host"] or _host_of(item, placed)) in by_name
    ]
    left = tuple(job for job in jobs if not job.is_removed)
    return RecordedRun(run_id=run_id, jobs=left, results=results_directory(run_id, store))


def _single_job(run_id: str, item: Mapping[str, Any], host: Host, store: Store) -> RecordedJob:
    """Return the only job of the run on a host."""
    handle, document = read_job(run_id, str(item["job"]), store)
    return RecordedJob(
        run_id=run_id,
        host=host,
        job_id=str(item["job"]),
        attempt=int(item.get("attempt", 1)),
        handle=handle,
        is_seen=was_seen(document),
        is_pulled=was_pulled(document, handle),
        may_run=document.get("status") != Status.NOT_STARTED.value,
        is_removed=bool(document.get(REMOVED)),
    )


def _host_of(item: Mapping[str, Any], placed: Mapping[str, Attempt]) -> str | None:
    attempt = placed.get(item["name"])
    return None if attempt is None else attempt.host


def find_on_hosts(
    text: str,
    surveys: Iterable[HostJobs],
    results: Callable[[str], Path],
    names: Iterable[str] = (),
) -> RecordedRun:
    """Return the run that ``text`` means among the jobs that hosts reported.

    Args:
        text: The run's id or a part of it, or its name.
        surveys: The answers of the hosts.
        results: Run id → directory for the outputs to pull.
        names: Names of recorded runs; text may be a misspelling of one.

    Raises:
        UsageError: No run matches, or several do.
    """
    found: dict[str, dict[str, RecordedJob]] = {}
    silent = []
    answers = tuple(surveys)
    for answer in answers:
        if answer.error is not None:
            silent.append(answer.host.name)
        # The youngest last: a retried job leaves all its attempts on the host.
        for job in sorted(answer.jobs, key=lambda each: -each.age):
            handle = job.handle
            if handle is None or not _matches(text, handle):
                continue
            home = results(handle.run_id) / (handle.job or answer.host.name)
            known = RecordedJob(
                run_id=handle.run_id,
                host=answer.host,
                job_id=job.job_id,
                handle=with_results_in(handle, home),
                job=handle.job,
            )
            found.setdefault(handle.run_id, {})[known.name] = known
    if len(found) == 1:
        run_id, jobs = found.popitem()
        return RecordedRun(run_id=run_id, jobs=tuple(jobs.values()), results=results(run_id))
    if found:
        raise UsageError(
            f"run {text!r} is ambiguous: {', '.join(sorted(found))}",
            hint="give more characters of its id",
        )
    without = f" ({', '.join(silent)}: no answer)" if silent else ""
    there = (job.handle.run_name for answer in answers for job in answer.jobs if job.handle)
    similar = did_you_mean(text, sorted({*names, *there} - {""}))
    raise UsageError(
        f"no run {text!r} on this machine or on the hosts that were asked{without}{similar}",
        hint="list all runs: mlcube-remote ps --all; or name the hosts to ask: --host=NAMES",
    )


def _matches(text: str, handle: JobHandle) -> bool:
    return text == handle.run_name or can_be_id(handle.run_id, text)


@attrs.frozen(kw_only=True)
class RunArguments:
    """The arguments with which a run was started."""

    folder: str
    """The directory that paths in its options are relative to."""
    options: Mapping[str, Any]
    """The command-line options that say what to run, and on which hosts."""


def load_arguments(run_id: str, store: Store) -> RunArguments:
    """Return the arguments of a recorded run.

    Raises:
        UsageError: Its record does not contain them.
    """
    began = read_run(run_id, store).get("began")
    if not isinstance(began, dict) or not {"folder", "options"} <= began.keys():
        raise UsageError(
            f"run {run_id} was started by a version that did not record its arguments",
            hint="start a new run with the same arguments: mlcube-remote run …",
        )
    if not Path(began["folder"]).is_dir():
        raise UsageError(
            f"run {run_id} was started in {began['folder']}, which no longer exists",
            hint="its paths are relative to that directory: create it again, or start a new run",
        )
    return RunArguments(folder=began["folder"], options=began["options"])
