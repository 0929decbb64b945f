# SPDX-License-Identifier: Apache-2.0
"""From a run's id to its jobs: out of this machine's record, else by asking hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from mlcube_remote.dispatch.record import was_seen
from mlcube_remote.dispatch.survey import HostSurvey
from mlcube_remote.dispatch.ticket import Ticket, TicketError, from_document, moved
from mlcube_remote.errors import RecordError, UsageError
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.results_index import results_directory
from mlcube_remote.runs.store import RUN, Document, Store


@attrs.frozen(kw_only=True)
class KnownJob:
    """One job of a run."""

    run_id: str
    host: Host
    job_id: str
    ticket: Ticket | None
    """``None`` when this machine never came to write it: the host is to be asked."""
    job: str = ""
    """Its name in a sweep or among shards; nothing where each host has one job."""

    attempt: int = 1
    """How often it has been begun."""
    is_seen: bool = False
    """Whether this machine has followed it to its end, and pulled what it made."""

    @property
    def name(self) -> str:
        """What tells the job from the others of its run."""
        return self.job or self.host.name


@attrs.frozen(kw_only=True)
class KnownRun:
    """A run that was begun here or elsewhere."""

    run_id: str
    jobs: tuple[KnownJob, ...]
    results: Path | None
    """The folder of its results; ``None`` where its one job's outputs go to the workspace."""

    @property
    def shares_hosts(self) -> bool:
        """Whether a host has several of the jobs."""
        return len({job.host.name for job in self.jobs}) < len(self.jobs)


def run_named(text: str, store: Store) -> str | None:
    """Return the id of the remembered run that ``text`` means, if any.

    Raises:
        UsageError: It may mean several.
    """
    # Of a run that was begun elsewhere only what was seen of some of its jobs is kept.
    found = [name for name in store.matching(text) if store.has(name, RUN)]
    if len(found) > 1:
        raise UsageError(
            f"run {text!r} may be any of {', '.join(found[:5])}{' …' if len(found) > 5 else ''}",
            hint="give more of its id",
        )
    return found[0] if found else None


def host_names(run_id: str, store: Store) -> list[str]:
    """Return the names of the hosts of a remembered run.

    Raises:
        RecordError: Its record is damaged.
    """
    placed = last_attempts(run_id, store)
    names = [item["host"] or _host_of(item, placed) for item in _document(run_id, store)["jobs"]]
    return [str(name) for name in dict.fromkeys(names) if name is not None]


@attrs.frozen(kw_only=True)
class Attempt:
    """What is remembered of the last time that a job of a sweep was begun."""

    job_id: str
    number: int
    host: str
    status: str
    ticket: Ticket
    is_seen: bool


def last_attempts(run_id: str, store: Store) -> dict[str, Attempt]:
    """Return job's name → its last attempt, of those jobs of a sweep that had found a host."""
    found: dict[str, Attempt] = {}
    for job_id in store.jobs(run_id):
        ticket, document = _remembered(run_id, job_id, store)
        if ticket is None or not ticket.job:
            continue
        attempt = Attempt(
            job_id=job_id,
            number=int(document.get("attempt", 1)),
            host=ticket.host,
            status=str(document.get("status")),
            ticket=ticket,
            is_seen=was_seen(document),
        )
        if ticket.job not in found or found[ticket.job].number < attempt.number:
            found[ticket.job] = attempt
    return found


def inventory_of(run_id: str, store: Store) -> str | None:
    """Return the inventory that a remembered run was begun with, if that is still there."""
    path = _document(run_id, store).get("inventory")
    return path if isinstance(path, str) and Path(path).is_file() else None


def recorded(run_id: str, store: Store, hosts: Iterable[Host]) -> KnownRun:
    """Return a remembered run's jobs on these hosts.

    Raises:
        RecordError: Its record is damaged.
    """
    by_name = {host.name: host for host in hosts}
    placed = last_attempts(run_id, store)
    jobs = [
        _alone(run_id, item, by_name[item["host"]], store)
        if item["host"] is not None
        else KnownJob(
            run_id=run_id,
            host=by_name[placed[item["name"]].host],
            job_id=placed[item["name"]].job_id,
            attempt=placed[item["name"]].number,
            ticket=placed[item["name"]].ticket,
            is_seen=placed[item["name"]].is_seen,
            job=str(item["name"]),
        )
        for item in _document(run_id, store)["jobs"]
        if (item["host"] or _host_of(item, placed)) in by_name
    ]
    return KnownRun(run_id=run_id, jobs=tuple(jobs), results=results_directory(run_id, store))


def _alone(run_id: str, item: Mapping[str, Any], host: Host, store: Store) -> KnownJob:
    """Return a job that has its host to itself."""
    ticket, document = _remembered(run_id, str(item["job"]), store)
    return KnownJob(
        run_id=run_id,
        host=host,
        job_id=str(item["job"]),
        attempt=int(item.get("attempt", 1)),
        ticket=ticket,
        is_seen=was_seen(document),
    )


def _host_of(item: Mapping[str, Any], placed: Mapping[str, Attempt]) -> str | None:
    attempt = placed.get(item["name"])
    return None if attempt is None else attempt.host


def _document(run_id: str, store: Store) -> dict[str, Any]:
    document = store.read(run_id, RUN)
    if document is None or not isinstance(document.get("jobs"), list):
        raise RecordError(
            f"the record of run {run_id} is incomplete",
            hint="name its hosts: --host=NAMES; they are then asked",
        )
    return document


def _remembered(run_id: str, job_id: str, store: Store) -> tuple[Ticket | None, Document]:
    """Return a job's ticket, if it can be read, and all else that is remembered of the job."""
    document: Document = {}
    try:
        document = store.read(run_id, job_id) or {}
        return from_document(document["ticket"]), document
    except (RecordError, TicketError, KeyError):
        # The host has another copy.
        return None, document


def surveyed(text: str, surveys: Iterable[HostSurvey], results: Callable[[str], Path]) -> KnownRun:
    """Return the run that ``text`` means among the jobs that hosts told of.

    Args:
        text: The run's id, or its beginning or end.
        surveys: What the hosts answered.
        results: Run id → folder for what is pulled.

    Raises:
        UsageError: There is none, or there are several.
    """
    found: dict[str, dict[str, KnownJob]] = {}
    silent = []
    for answer in surveys:
        if answer.error is not None:
            silent.append(answer.host.name)
        # The youngest last: a job that was begun once more leaves both on its host.
        for job in sorted(answer.jobs, key=lambda each: -each.age):
            ticket = job.ticket
            if ticket is None or not _means(text, ticket.run_id):
                continue
            home = results(ticket.run_id) / (ticket.job or answer.host.name)
            known = KnownJob(
                run_id=ticket.run_id,
                host=answer.host,
                job_id=job.job_id,
                ticket=moved(ticket, home),
                job=ticket.job,
            )
            found.setdefault(ticket.run_id, {})[known.name] = known
    if len(found) == 1:
        run_id, jobs = found.popitem()
        return KnownRun(run_id=run_id, jobs=tuple(jobs.values()), results=results(run_id))
    if found:
        raise UsageError(
            f"run {text!r} may be any of {', '.join(sorted(found))}", hint="give more of its id"
        )
    asked = f" ({', '.join(silent)} could not be asked)" if silent else ""
    raise UsageError(
        f"no run {text!r} is known here, nor on the hosts that were asked{asked}",
        hint="mlcube-remote ps --all lists the runs; --host=NAMES says whom to ask",
    )


def _means(text: str, run_id: str) -> bool:
    return run_id.startswith(text) or run_id.endswith(text)


@attrs.frozen(kw_only=True)
class Began:
    """How a run was begun."""

    folder: str
    """The directory that paths in its options are relative to."""
    options: Mapping[str, Any]
    """Those of the command line that say what is run, and where."""


def arguments_of(run_id: str, store: Store) -> Began:
    """Return what a remembered run was begun with.

    Raises:
        UsageError: Its record does not have it.
    """
    began = _document(run_id, store).get("began")
    if not isinstance(began, dict) or not {"folder", "options"} <= began.keys():
        raise UsageError(
            f"run {run_id} was begun by a version that did not write its arguments down",
            hint="give them once more: mlcube-remote run …",
        )
    if not Path(began["folder"]).is_dir():
        raise UsageError(
            f"run {run_id} was begun in {began['folder']}, which is not there any more",
            hint="its paths are relative to that directory",
        )
    return Began(folder=began["folder"], options=began["options"])
