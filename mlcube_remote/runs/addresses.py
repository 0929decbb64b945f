# SPDX-License-Identifier: Apache-2.0
"""How users address runs and jobs: an id or a part of it, a name, ``last``, and ``RUN/JOB``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from mlcube_remote.errors import UsageError
from mlcube_remote.formatting import list_first
from mlcube_remote.inventory.host_ranges import expand, split_all

LAST = "last"
"""The newest run that this machine has started."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_MAX_LISTED = 12


@attrs.frozen(kw_only=True)
class RunAddress:
    """A run, and maybe some of its jobs."""

    run: str
    jobs: tuple[str, ...] = ()


def no_run_error() -> UsageError:
    """Return the error of a machine that has started no run."""
    return UsageError(
        "no run was started on this machine",
        hint="list the runs on all hosts: mlcube-remote ps --all",
    )


def parse_address(text: str) -> RunAddress:
    """Return the parts of ``RUN`` or ``RUN/JOB``.

    Raises:
        UsageError: One of the two parts is empty.
    """
    run, slash, job = text.partition("/")
    if not run or (slash and not job):
        raise UsageError(
            f"{text!r}: expected RUN or RUN/JOB", hint="for example: last, sweep-a/03, k3j5/gpu01"
        )
    return RunAddress(run=run, jobs=(job,) if job else ())


def check_run_name(name: str) -> str:
    """Return a name for a run.

    Raises:
        UsageError: It cannot be a name, because it would not be told from an id or a job.
    """
    if name == LAST or _NAME.fullmatch(name) is None:
        raise UsageError(
            f"--name={name}: not a name for a run",
            hint=f"start with a letter, then letters, digits, dots, - and _; not '{LAST}'",
        )
    return name


def can_be_name(text: str) -> bool:
    """Return whether a run can have this name."""
    return text != LAST and _NAME.fullmatch(text) is not None


def can_be_id(run_id: str, text: str) -> bool:
    """Return whether ``text`` is the start or the end of an id, or the start of its last part."""
    return (
        run_id.startswith(text)
        or run_id.endswith(text)
        or run_id.rpartition("-")[2].startswith(text)
    )


def match_jobs(run_id: str, patterns: Iterable[str], jobs: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the jobs that patterns mean: by name, by number or by host.

    Args:
        run_id: Their run, for messages.
        patterns: Names and ranges such as ``[01-04]``, commas between.
        jobs: The name of each job → its host; empty if it has none.

    Raises:
        UsageError: A pattern means no job.
    """
    try:
        wanted = [name for text in split_all(patterns) for name in expand(text)]
    except ValueError as problem:
        raise UsageError(f"--job: {problem}") from problem
    chosen: set[str] = set()
    for text in wanted:
        found = _matching(text, jobs)
        if not found:
            raise UsageError(
                f"run {run_id} has no job {text!r}",
                hint=f"its jobs: {list_first(sorted(jobs), _MAX_LISTED) or 'none'}",
            )
        chosen |= found
    return frozenset(chosen)


def _matching(text: str, jobs: Mapping[str, str]) -> set[str]:
    if text in jobs:
        return {text}
    if text.isdecimal():
        return {name for name in jobs if name.isdecimal() and int(name) == int(text)}
    return {name for name, host in jobs.items() if host == text}
