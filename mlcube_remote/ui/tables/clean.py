# SPDX-License-Identifier: Apache-2.0
"""What ``clean`` removed from hosts or, in a dry run, would remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcube_remote.events.documents import error_document
from mlcube_remote.formatting import list_first, readable_size
from mlcube_remote.jobs.clean import Cleaned
from mlcube_remote.jobs.clean_mirrors import CleanedMirrors
from mlcube_remote.jobs.disk import StoredItem
from mlcube_remote.jobs.query import FoundJob
from mlcube_remote.ui.tables.disk import item_document, item_name, shown_age, shown_size
from mlcube_remote.ui.tables.jobs import kept_jobs_text, removed_jobs_text
from mlcube_remote.ui.text import one_line


def clean_text(
    cleaned: Sequence[Cleaned], *, mirrors: Sequence[CleanedMirrors] | None, dry_run: bool
) -> str:
    """Return what was removed, one line each.

    Args:
        cleaned: The jobs of each host.
        mirrors: What else was removed; ``None``: only jobs.
        dry_run: Whether nothing was removed.
    """
    jobs = {each.host: each.removed for each in cleaned if each.removed}
    text = removed_jobs_text(jobs, dry_run=dry_run)
    if kept := {each.host: each.kept for each in cleaned if each.kept}:
        text += f"\n{kept_jobs_text(kept)}"
    return text if mirrors is None else f"{text}\n{cleaned_text(mirrors, dry_run=dry_run)}"


def clean_document(
    cleaned: Sequence[Cleaned], *, mirrors: Sequence[CleanedMirrors], dry_run: bool
) -> dict[str, Any]:
    """Return the same as JSON."""
    more = {each.host: each for each in mirrors}
    hosts = []
    for each in cleaned:
        other = more.get(each.host, CleanedMirrors(host=each.host))
        error = each.error or other.error
        hosts.append(
            {
                "host": each.host,
                "error": None if error is None else error_document(error),
                "jobs": [_job_document(job) for job in each.removed],
                "kept_jobs": [_job_document(job) for job in each.kept],
                "removed": [item_document(item) for item in other.removed],
                "kept": [{**item_document(kept.item), "why": kept.why} for kept in other.kept],
            }
        )
    return {"version": 1, "dry_run": dry_run, "hosts": hosts}


def _job_document(job: FoundJob) -> dict[str, Any]:
    return {
        "run": job.handle.run_id if job.handle else None,
        "job": job.job_id,
        "state": job.shown_state,
        "age_seconds": job.age,
    }


def _describe(item: StoredItem) -> str:
    return f"{item.kind} {item_name(item)} ({shown_size(item)}"


def _has_outputs(cleaned: CleanedMirrors) -> bool:
    return any(
        kept.item.may_have_outputs and not kept.item.is_live and kept.item.kind != "image"
        for kept in cleaned.kept
    )


def cleaned_text(cleaned: Sequence[CleanedMirrors], *, dry_run: bool) -> str:
    """Return what ``clean`` removed from hosts or, in a dry run, would remove, and what it kept."""
    verb = "would remove" if dry_run else "removed"
    lines = [
        f"{verb} {each.host}: {_describe(item)}, last use {shown_age(item)})"
        for each in cleaned
        for item in each.removed
    ]
    lines += [
        f"kept {each.host}: {_describe(kept.item)}): {kept.why}"
        + (f" ({list_first(kept.item.unpulled, 2)})" if kept.item.unpulled else "")
        for each in cleaned
        for kept in each.kept
    ]
    lines = [one_line(line) for line in lines]
    removed = [item for each in cleaned for item in each.removed]
    total = readable_size(sum(item.size or 0 for item in removed))
    is_least = any(item.is_at_least for item in removed)
    at_least = "at least " if is_least else ""
    if any(each.kept and _has_outputs(each) for each in cleaned):
        lines.append("to remove outputs that were not pulled, too: add --with-outputs")
    if removed:
        lines.append(f"{'would free' if dry_run else 'freed'} {at_least}{total}")
    return "\n".join(lines) or "no mirror, data or image to remove"
