# SPDX-License-Identifier: Apache-2.0
"""Which jobs of a run may be run again, and which must not: those that may be at work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from mlcube_remote.events.outcome import Status
from mlcube_remote.runs.store import Document

_WELL = Status.SUCCEEDED.value
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


@attrs.frozen(kw_only=True)
class RerunSelection:
    """What is to be done about the jobs of a run; by name."""

    attempts: Mapping[str, int]
    """Job to run again → how often it will have been begun."""
    possibly_running: tuple[str, ...]
    """Jobs that run, or of which nobody knows whether they do: they are left alone."""
    unassigned: tuple[str, ...] = ()
    """Jobs that the command which began the run may yet place on a host, if it is at work."""


def select_jobs(
    jobs: Collection[Document],
    *,
    failed: bool,
    hosts: Collection[str] = (),
    gone: Collection[str] = (),
) -> RerunSelection:
    """Say which jobs of an index of results are to be run again.

    Args:
        jobs: The jobs, as in the index.
        failed: Only those that did not succeed.
        hosts: Only those on these hosts; none: on any.
        gone: Hosts that are known not to come back: nothing is at work there.
    """
    wanted = [job for job in jobs if not hosts or job["host"] in hosts]
    over = _FAILED if failed else _FAILED | {_WELL}
    at_work = [job for job in wanted if job["status"] not in _FAILED | {_WELL}]
    lost = [job for job in at_work if job["host"] in gone]
    others = [job for job in at_work if job["host"] not in gone]
    again = [job for job in wanted if job["status"] in over or job in lost]
    return RerunSelection(
        attempts={_name(job): job["attempt"] + 1 for job in again},
        possibly_running=tuple(_name(job) for job in others if job["host"] is not None),
        unassigned=tuple(_name(job) for job in others if job["host"] is None),
    )


def _name(job: Mapping[str, Any]) -> str:
    return str(job["job"] or job["host"])
