# SPDX-License-Identifier: Apache-2.0
"""Choose the run that a command without RUN is about, if only one is sensible."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from mlcube_remote.app.options import Sensible
from mlcube_remote.app.running_jobs import find_live_runs
from mlcube_remote.errors import RecordError, UsageError
from mlcube_remote.events.outcome import Status
from mlcube_remote.formatting import readable_duration
from mlcube_remote.jobs.records import PLANNED
from mlcube_remote.runs.documents import age_of
from mlcube_remote.runs.store import RUN, Store

_MAY_RUN = frozenset({PLANNED, Status.QUEUED.value, Status.RUNNING.value, Status.UNKNOWN.value})

_MAX_RUNS = 100
"""Runs that are looked at, newest first."""

_MAX_LIVE = 16
"""Runs that may still run, as far as this machine knows, whose hosts are asked."""

_MAX_LISTED = 4


def choose_run(sensible: Sensible) -> tuple[str, str]:
    """Return the id of the run that is meant without a name, and a text that says which it is.

    Raises:
        UsageError: This machine has no such run, or several.
    """
    store = Store()
    runs = [name for name in islice(store.runs(), _MAX_RUNS) if store.has(name, RUN)]
    newest = runs[:1]
    if sensible is Sensible.NEWEST:
        candidates = newest
    else:
        live = list(islice(_live(store, runs), _MAX_LIVE))
        if sensible is Sensible.LIVE:
            # Nothing has told this machine how a run ended that it started with --detach.
            candidates = find_live_runs(live) if len(live) > 1 else live
        else:
            others = live[:_MAX_LISTED]
            # A run that has reached no host is nothing to follow, if there is another one.
            last = [name for name in newest if not others or _has_started(store, name)]
            candidates = sorted({*others, *last}, reverse=True)
    if not candidates:
        known = "is known to be running" if sensible is Sensible.LIVE else "was started"
        raise UsageError(
            f"RUN is missing, and no run {known} on this machine",
            hint="list the runs on all hosts: mlcube-remote ps --all",
        )
    if len(candidates) > 1:
        listed = candidates[: _MAX_LISTED + 1]
        lines = "".join(f"\n  {describe_run(store, name)}" for name in listed)
        raise UsageError(
            f"RUN is missing, and it can be one of several:{lines}",
            hint=f"name one, for example: {candidates[0]}",
        )
    return candidates[0], describe_run(store, candidates[0])


def _live(store: Store, runs: list[str]) -> Iterator[str]:
    """Yield the runs that have a job which may still run, as far as this machine knows."""
    return (run_id for run_id in runs if not _MAY_RUN.isdisjoint(_read_statuses(store, run_id)))


def _has_started(store: Store, run_id: str) -> bool:
    """Return whether a job of a run may have started, as far as this machine knows."""
    statuses = set(_read_statuses(store, run_id))
    return statuses != {Status.NOT_STARTED.value}


def _read_statuses(store: Store, run_id: str) -> Iterator[str]:
    """Yield the recorded states of a run's jobs."""
    for job in store.jobs(run_id):
        try:
            document = store.read(run_id, job) or {}
        except RecordError:
            continue
        yield str(document.get("status"))


def describe_run(store: Store, run_id: str) -> str:
    """Return a run's id, its name, and when it was started."""
    try:
        document = store.read(run_id, RUN) or {}
    except RecordError:
        return run_id
    age = age_of(document.get("created"))
    if age is None:
        return run_id
    name = f" ({document['name']})" if document.get("name") else ""
    return f"{run_id}{name}, started {readable_duration(max(0, int(age)))} ago"
