# SPDX-License-Identifier: Apache-2.0
"""Lists of jobs, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.ui.document import VERSION
from mlcube_remote.ui.table import columns
from mlcube_remote.ui.text import one_line

_STEPS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def age_text(seconds: int) -> str:
    """Return a time span in its two largest units: ``2d 3h``, ``14m 5s``, ``8s``."""
    parts: list[str] = []
    for size, unit in _STEPS:
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0") or len(parts) == 1)


def jobs_text(surveys: Sequence[HostJobs]) -> str:
    """Return the jobs of all hosts as a table, the youngest first; hosts that were silent below."""
    jobs = sorted((job for answer in surveys for job in answer.jobs), key=lambda job: job.age)
    parts = []
    if jobs:
        header = ["run", "host", "state", "task", "cube", "age", "by"]
        parts.append(columns(header, [_row(job) for job in jobs]))
    else:
        asked = sum(answer.error is None for answer in surveys)
        parts.append(f"no jobs on {asked} host{'' if asked == 1 else 's'}")
    silent = [
        f"{answer.host.name}: not asked: {one_line(answer.error.reason)}"
        for answer in surveys
        if answer.error is not None
    ]
    if silent:
        parts.append("\n".join(silent))
    return "\n\n".join(parts)


def _row(job: FoundJob) -> list[str]:
    ticket, current = job.handle, job.current
    return [
        one_line(cell)
        for cell in (
            ticket.run_id if ticket else job.job_id,
            job.host,
            job.shown_state,
            current.task if current else "-",
            ticket.cube if ticket else "?",
            age_text(job.age),
            ticket.client if ticket else "?",
        )
    ]


def jobs_document(surveys: Sequence[HostJobs]) -> dict[str, Any]:
    """Return the jobs of all hosts; docs/reference/json.md describes it."""
    return {
        "version": VERSION,
        "hosts": [
            {
                "host": answer.host.name,
                "error": None if answer.error is None else answer.error.reason,
                "jobs": [_job(job) for job in answer.jobs],
            }
            for answer in surveys
        ],
    }


def _job(job: FoundJob) -> dict[str, Any]:
    ticket = job.handle
    return {
        "run": ticket.run_id if ticket else None,
        "job": job.job_id,
        "state": job.shown_state,
        "cube": ticket.cube if ticket else None,
        "client": ticket.client if ticket else None,
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


def cleaned_text(jobs: Mapping[str, Sequence[FoundJob]], *, dry_run: bool) -> str:
    """Return what went, or would go."""
    verb = "would remove" if dry_run else "removed"
    lines = [
        one_line(
            f"{verb} {host}: {job.handle.run_id if job.handle else job.job_id} "
            f"({job.shown_state}, {age_text(job.age)} old)"
        )
        for host, old in jobs.items()
        for job in old
    ]
    return "\n".join(lines) or "nothing to do"
