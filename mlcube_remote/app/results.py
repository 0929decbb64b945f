# SPDX-License-Identifier: Apache-2.0
"""Find the results of a run, without asking any host."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcube_remote.app.observer import Warn
from mlcube_remote.errors import UsageError
from mlcube_remote.files.verify import Finding, verify
from mlcube_remote.runs.addresses import LAST, no_run_error
from mlcube_remote.runs.attempts import (
    DIRECTORY,
    compile_attempts,
    job_name,
    latest_attempts,
    read_attempts,
)
from mlcube_remote.runs.compare import Difference, compare_runs
from mlcube_remote.runs.results_index import FILE, compile_index, read_index
from mlcube_remote.runs.store import Store

if TYPE_CHECKING:
    from mlcube_remote.app.follow import FoundRun
    from mlcube_remote.jobs.verify import HostFindings


def find_results(text: str, warn: Warn) -> dict[str, Any]:
    """Return the index of the results that ``text`` means.

    Args:
        text: A run's name, a part of its id, ``last``, or the path of its results.
        warn: Shows warnings about records that cannot be read.

    Raises:
        UsageError: There are no such results, or several runs match.
    """
    path = Path(text)
    if path.is_file() or (path / FILE).is_file():
        return read_index(path if path.is_file() else path / FILE)
    store = Store()
    return compile_index(_find_run(text, store), store, warn)


def list_results(warn: Warn) -> list[dict[str, Any]]:
    """Return the index of the results of each run that has a record here, newest first."""
    store = Store()
    return [compile_index(run_id, store, warn) for run_id in store.runs()]


def run_names(indexes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return run → its name; empty if it has none."""
    store = Store()
    return {str(index["run"]): store.name_of(str(index["run"])) for index in indexes}


def find_attempts(text: str, warn: Warn) -> list[dict[str, Any]]:
    """Return the record of each attempt of the run that ``text`` means.

    Arguments and errors are those of :func:`find_results`.
    """
    path = Path(text)
    folder = path.parent if path.is_file() else path
    if (folder / DIRECTORY).is_dir():
        return read_attempts(folder)
    store = Store()
    return compile_attempts(_find_run(text, store), store, warn)


def verify_results(attempts: list[dict[str, Any]]) -> list[Finding]:
    """Read the results of a run again, and compare them with the records of its attempts."""
    return verify(attempts)


def verify_on_hosts(found: FoundRun, attempts: list[dict[str, Any]]) -> tuple[HostFindings, ...]:
    """Read what the hosts of a run still have of it.

    Args:
        found: The run.
        attempts: The records of its attempts.
    """
    from mlcube_remote.jobs import verify as on_hosts  # noqa: PLC0415 - most commands ask no host

    records = {job_name(attempt): attempt for attempt in latest_attempts(attempts)}
    return on_hosts.verify_on_hosts(found.run.jobs, records, found.logins.connect)


def compare_results(first: str, second: str, warn: Warn) -> tuple[Difference, ...]:
    """Return what differs between two runs; arguments and errors as for :func:`find_results`."""
    return compare_runs(find_attempts(first, warn), find_attempts(second, warn))


def _find_run(text: str, store: Store) -> str:
    found = store.matching(text)
    if not found and text == LAST:
        raise no_run_error()
    if not found:
        raise UsageError(
            f"no results of a run {text!r} on this machine",
            hint=f"pull them: mlcube-remote pull {shlex.quote(text)}; "
            "list the runs of this machine: mlcube-remote results list; "
            "after 'clean', name their directory: mlcube-remote results show results/RUN",
        )
    if len(found) > 1:
        names = f"{', '.join(found[:5])}{' …' if len(found) > 5 else ''}"
        raise UsageError(
            f"run {text!r} is ambiguous: {names}", hint="give more characters of its id"
        )
    return found[0]
