# SPDX-License-Identifier: Apache-2.0
"""``rerun --verify``: check the cube and the inputs on this machine before any host is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcube_remote.app.observer import Warn
from mlcube_remote.errors import UsageError
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.runs.expected_sources import (
    ExpectedSources,
    changes_hint,
    changes_text,
    unrecorded,
)

if TYPE_CHECKING:  # slow to import, and few runs are verified
    from mlcube_remote.files.sources import Sources

_HERE = frozenset({"workspace", "client"})
"""Places of inputs that are on this machine."""


def require_sources_here(
    expected: ExpectedSources, jobs: Sequence[JobSpec], warn: Warn
) -> Callable[[], Sources]:
    """Read the sources of a run, and refuse those that differ from the record.

    Args:
        expected: What is recorded.
        jobs: The jobs of the run; all of them have the same sources.
        warn: Shows what was not recorded, and so is not compared.

    Returns:
        A function that returns the sources.

    Raises:
        UsageError: The cube or an input differs, and may not. No host was asked.
    """
    from mlcube_remote.files.sources import read_sources  # noqa: PLC0415 - see above

    sources = read_sources(jobs[0])
    changes = dict.fromkeys(
        change
        for job in jobs
        for change in expected.changes(
            job.name, _current(expected.recorded.get(job.name, {}), sources)
        )
    )
    if refused := expected.refused(changes):
        raise UsageError(
            f"not as recorded, so nothing was started:{changes_text(refused)}",
            hint=changes_hint(refused),
        )
    for text in dict.fromkeys(_not_compared(expected, job.name) for job in jobs):
        if text:
            warn(text)
    return lambda: sources


def _not_compared(expected: ExpectedSources, job: str) -> str:
    if job not in expected.recorded:
        return "no record of what the earlier outputs come from: only outputs are compared"
    missing = unrecorded(expected.recorded[job])
    return f"not recorded, so not compared: {', '.join(missing)}" if missing else ""


def _current(recorded: Mapping[str, Any], sources: Sources) -> dict[str, Any]:
    """Return what a record would say now about the cube, and about the inputs that are here."""
    tree, git = sources.cube.tree, sources.cube.git
    return {
        "cube": {
            "sha256": None if tree is None else tree.sha256,
            "git": None if git is None else {"commit": git.commit},
            "problem": sources.cube.problem,
        },
        "inputs": [_input(item, sources) for item in recorded.get("inputs", ())],
    }


def _input(item: Mapping[str, Any], sources: Sources) -> Mapping[str, Any]:
    if item["where"] not in _HERE or item["sha256"] is None:
        return item  # its host is asked later
    tree = sources.inputs.get(Path(item["path"]))
    return {**item, "sha256": None if tree is None else tree.sha256, "modified": None}
