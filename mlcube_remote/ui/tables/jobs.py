# SPDX-License-Identifier: Apache-2.0
"""Lists of jobs on hosts, as tables and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from mlcube_remote.formatting import readable_duration
from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.runs.ids import label
from mlcube_remote.ui.files.json_output import VERSION
from mlcube_remote.ui.tables.columns import columns_of, format_table, shorten, unreachable_lines
from mlcube_remote.ui.text import one_line

_ID_PART = 16
"""Length of the last part of a run's id."""

_SPARE = ("client", "cube", "task")
"""Columns that are omitted in a narrow terminal, in this order."""
_SHRINK = ("parameters", "run", "job", "state")
"""Columns that are shortened if that is not enough."""


_MAX_STEPS = 3
"""Commands that pull outputs which ``clean`` lists."""


def _same(text: str) -> str:
    return text


@attrs.frozen(kw_only=True)
class JobsLayout:
    """How a list of jobs is shown."""

    width: int | None = None
    """Columns of the terminal; ``None``: no limit."""
    is_folded: bool = False
    """Whether the jobs of a sweep are one row."""
    hides_ended: bool = False
    """Whether jobs that have ended are not in the list."""
    is_filtered: bool = False
    """Whether only some jobs were asked for."""
    last_runs: Mapping[str, str] = attrs.field(factory=dict)
    """Host → how long ago the newest run was started there."""
    faint: Callable[[str], str] = _same
    """Makes a text less conspicuous."""


def jobs_text(surveys: Sequence[HostJobs], layout: JobsLayout = JobsLayout()) -> str:
    """Return the jobs of all hosts as a table, newest first, then the hosts without an answer."""
    jobs = sorted((job for survey in surveys for job in survey.jobs), key=lambda job: job.age)
    if jobs:
        rows = [_row(group) for group in _groups(jobs, is_folded=layout.is_folded)]
        parts = [_table(rows, layout.width)]
    else:
        answers = sum(survey.error is None for survey in surveys)
        ended = " (--all shows those that have ended)" if layout.hides_ended else ""
        which = "matching jobs" if layout.is_filtered else "jobs"
        parts = [f"no {which} on {answers} host{'' if answers == 1 else 's'}{ended}"]
    answers_of = ((survey.host.name, survey.error) for survey in surveys)
    if lines := unreachable_lines(answers_of, layout.last_runs):
        if layout.width is not None:
            lines = [shorten(line, layout.width) for line in lines]
        parts.append("\n".join(map(layout.faint, lines)))
    return "\n\n".join(parts)


def _groups(jobs: Sequence[FoundJob], *, is_folded: bool) -> list[list[FoundJob]]:
    """Return the jobs of each row: those of one sweep together if it is folded."""
    groups: dict[object, list[FoundJob]] = {}
    for job in jobs:
        is_trial = job.handle is not None and bool(job.handle.job)
        groups.setdefault(job.run_id if is_folded and is_trial else id(job), []).append(job)
    return list(groups.values())


def _row(group: Sequence[FoundJob]) -> dict[str, str]:
    first = group[0]
    handle = first.handle
    row = {
        "run": handle.run_id if handle else first.job_id,
        "name": handle.run_name if handle else "",
        "job": label(handle.job if handle else "", first.host),
        "state": first.shown_state,
        "task": first.current.task if first.current else "-",
        "parameters": _parameters(first),
        "cube": handle.cube if handle else "?",
        "age": readable_duration(first.age),
        "client": handle.client if handle else "?",
    }
    if len(group) > 1:
        # A retried job leaves all its attempts on the hosts; the youngest counts.
        last = {job.handle.job: job for job in reversed(group) if job.handle}
        hosts = {job.host for job in last.values()}
        row |= {
            "job": f"{len(last)} job{'' if len(last) == 1 else 's'} on {len(hosts)} "
            f"host{'' if len(hosts) == 1 else 's'}",
            "state": _count_states(last.values()),
            "parameters": ", ".join(handle.parameters) if handle else "",
            "age": readable_duration(group[-1].age),
        }
    return {name: one_line(cell) for name, cell in row.items()}


def _count_states(jobs: Iterable[FoundJob]) -> str:
    """Return how many jobs have each state, without its reason."""
    counts = Counter(job.shown_state.partition(" ")[0] for job in jobs)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {state}" for state, count in ranked)


def _parameters(job: FoundJob) -> str:
    values = job.handle.parameters if job.handle else {}
    return " ".join(f"{name}={value}" for name, value in values.items())


def _table(rows: Sequence[Mapping[str, str]], width: int | None) -> str:
    full = _format(rows, None)
    if width is None or max(map(columns_of, full.splitlines())) <= width:
        return full
    # A name and the last part of an id are enough to address a run. A name means its newest run.
    named = {row["name"]: row["run"] for row in sorted(rows, key=lambda row: row["run"])}
    short = []
    for row in rows:
        is_named = row["name"] and named[row["name"]] == row["run"]
        address = row["name"] if is_named else row["run"][-_ID_PART:]
        short.append({**row, "run": address, "name": ""})
    return _format(short, width)


def _format(rows: Sequence[Mapping[str, str]], width: int | None) -> str:
    optional = [name for name in ("name", "parameters") if not any(row[name] for row in rows)]
    header = [name for name in rows[0] if name not in optional]
    cells = [[row[name] for name in header] for row in rows]
    return format_table(header, cells, width=width, spare=_SPARE, shrink=_SHRINK)


def jobs_document(surveys: Sequence[HostJobs]) -> dict[str, Any]:
    """Return the jobs of all hosts as JSON; docs/reference/json.md describes it."""
    return {
        "version": VERSION,
        "hosts": [
            {
                "host": survey.host.name,
                "error": None if survey.error is None else survey.error.reason,
                "jobs": [_job_document(job) for job in survey.jobs],
            }
            for survey in surveys
        ],
    }


def _job_document(job: FoundJob) -> dict[str, Any]:
    handle = job.handle
    return {
        "run": handle.run_id if handle else None,
        "run_name": handle.run_name or None if handle else None,
        "job": job.job_id,
        "job_name": handle.job or None if handle else None,
        "parameters": dict(handle.parameters) if handle else {},
        "state": job.shown_state,
        "cube": handle.cube if handle else None,
        "client": handle.client if handle else None,
        "age_seconds": job.age,
        "tasks": [
            {
                "task": task.task,
                "exit_code": task.exit,
                "started": task.started,
                "finished": task.finished,
            }
            for task in job.tasks
        ],
    }


def removed_jobs_text(jobs: Mapping[str, Sequence[FoundJob]], *, dry_run: bool) -> str:
    """Return the jobs that ``clean`` removed or, in a dry run, would remove."""
    verb = "would remove" if dry_run else "removed"
    lines = [
        f"{verb} {host}: {_describe(job)}" for host, removed in jobs.items() for job in removed
    ]
    return "\n".join(lines) or "nothing to do"


def kept_jobs_text(jobs: Mapping[str, Sequence[FoundJob]]) -> str:
    """Return the jobs that ``clean`` kept because of their outputs, and how to pull these."""
    lines = [
        f"kept {host}: {_describe(job)}: this machine has not pulled its outputs"
        for host, kept in jobs.items()
        for job in kept
    ]
    runs = list(dict.fromkeys(job.run_id for kept in jobs.values() for job in kept if job.run_id))
    steps = [f"  pull them:      mlcube-remote pull {run_id}" for run_id in runs[:_MAX_STEPS]]
    more = [f"  … and {len(runs) - _MAX_STEPS} more runs"] if len(runs) > _MAX_STEPS else []
    end = ["  or remove them: mlcube-remote clean --cubes --with-outputs"]
    return "\n".join([*lines, *steps, *more, *end])


def _describe(job: FoundJob) -> str:
    """Return the address of a job, its state and its age."""
    handle = job.handle
    address = job.job_id if handle is None else "/".join(filter(None, (handle.run_id, handle.job)))
    return one_line(f"{address} ({job.shown_state}, {readable_duration(job.age)} old)")
