# SPDX-License-Identifier: Apache-2.0
"""Lists of jobs on hosts, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcube_remote.formatting import readable_duration
from mlcube_remote.jobs.query import FoundJob, HostJobs
from mlcube_remote.ui.files.json_output import VERSION
from mlcube_remote.ui.tables.columns import format_table, unreachable_lines
from mlcube_remote.ui.text import one_line


def jobs_text(surveys: Sequence[HostJobs]) -> str:
    """Return the jobs of all hosts as a table, newest first, then the hosts without an answer."""
    jobs = sorted((job for survey in surveys for job in survey.jobs), key=lambda job: job.age)
    if jobs:
        header = ["run", "host", "state", "task", "cube", "age", "client"]
        parts = [format_table(header, [_row(job) for job in jobs])]
    else:
        answers = sum(survey.error is None for survey in surveys)
        parts = [f"no jobs on {answers} host{'' if answers == 1 else 's'}"]
    if lines := unreachable_lines((survey.host.name, survey.error) for survey in surveys):
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(job: FoundJob) -> list[str]:
    handle, current = job.handle, job.current
    return [
        one_line(cell)
        for cell in (
            handle.run_id if handle else job.job_id,
            job.host,
            job.shown_state,
            current.task if current else "-",
            handle.cube if handle else "?",
            readable_duration(job.age),
            handle.client if handle else "?",
        )
    ]


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
        "job": job.job_id,
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
        one_line(
            f"{verb} {host}: {job.handle.run_id if job.handle else job.job_id} "
            f"({job.shown_state}, {readable_duration(job.age)} old)"
        )
        for host, removed in jobs.items()
        for job in removed
    ]
    return "\n".join(lines) or "nothing to do"
