# SPDX-License-Identifier: Apache-2.0
"""``rerun --verify``: compare new attempts of jobs with earlier ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from mlcube_remote.app.observer import Warn
from mlcube_remote.app.options import RunOptions
from mlcube_remote.app.request import make_request
from mlcube_remote.app.results import find_attempts
from mlcube_remote.events.outcome import Status
from mlcube_remote.runs.attempts import job_name, latest_attempts
from mlcube_remote.runs.compare import OutputComparison, compare_outputs
from mlcube_remote.runs.expected_sources import ExpectedSources, Source

Attempts = Mapping[str, dict[str, Any]]
"""Name of a job → the record of one of its attempts."""


def find_baseline(run_id: str, jobs: Collection[str], warn: Warn) -> Attempts:
    """Return for each job the attempt that the next one is compared with.

    It is the last one that succeeded, or else the last one that has outputs; a job without either
    is left out.

    Args:
        run_id: The run.
        jobs: Names of the jobs.
        warn: Shows warnings about records that cannot be read.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for attempt in find_attempts(run_id, warn):
        name = job_name(attempt)
        known = chosen.get(name)
        is_better = known is None or known["status"] != Status.SUCCEEDED.value
        is_success = attempt["status"] == Status.SUCCEEDED.value
        if name in jobs and (is_success or (is_better and attempt["outputs"])):
            chosen[name] = attempt
    return chosen


def on_other_hosts(baseline: Attempts, options: RunOptions) -> Attempts:
    """Return the attempt of the only job as that of each host that repeats it.

    Args:
        baseline: The attempt to repeat, if there is one.
        options: Options of the new run, in which each host has one job.

    Raises:
        UsageError: There is no such host.
    """
    request, _ = make_request(options)
    return {host.name: attempt for attempt in baseline.values() for host in request.hosts}


def expected_sources(baseline: Attempts, allowed: Collection[str]) -> ExpectedSources:
    """Return what the next attempts must be made from.

    Args:
        baseline: The attempts to repeat.
        allowed: What may differ: values of :class:`Source`.
    """
    cubes = [attempt["cube"] for attempt in baseline.values() if attempt["cube"]]
    recorded = {name: attempt["provenance"] for name, attempt in baseline.items()}
    return ExpectedSources(
        recorded={name: found for name, found in recorded.items() if found},
        root=os.path.dirname(cubes[0]["path"]) if cubes else "",
        allowed=frozenset(map(Source, allowed)),
    )


def compare_repetitions(run_id: str, baseline: Attempts, warn: Warn) -> list[OutputComparison]:
    """Compare the outputs of the newest attempts with those before.

    Jobs that were not started again are left out.

    Args:
        run_id: The run of the newest attempts.
        baseline: The attempts before.
        warn: Shows warnings about records that cannot be read.
    """
    newest = {job_name(each): each for each in latest_attempts(find_attempts(run_id, warn))}
    return [
        item
        for name, before in baseline.items()
        if (after := newest.get(name)) is not None
        and (after["run"], after["attempt"]) != (before["run"], before["attempt"])
        and after["status"] != Status.NOT_STARTED.value
        for item in compare_outputs(before, after)
    ]
