# SPDX-License-Identifier: Apache-2.0
"""This machine's record of a job, updated by each command."""

from __future__ import annotations

from typing import Any

from mlcube_remote.errors import NotStartedError, RecordError
from mlcube_remote.events.documents import job_document
from mlcube_remote.events.model import Stage
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.events.provenance import Provenance
from mlcube_remote.events.provenance_document import Logs, provenance_document, update_document
from mlcube_remote.jobs.handle import JobHandle, to_document
from mlcube_remote.runs.documents import Document
from mlcube_remote.runs.store import Store

_NO_LOGS: Logs = {}

PLANNED = "planned"
"""Status of a job that is about to start; written first, so that the job can be found again."""

REMOVED = "removed"
"""Key in the record of a job that ``clean`` has removed from its host, while its run has others."""

ENDED = frozenset(
    status.value
    for status in (
        Status.SUCCEEDED,
        Status.FAILED,
        Status.KILLED,
        Status.CANCELLED,
        Status.LOST,
    )
)
"""Final states of a job that was started."""


def record_planned(store: Store, handle: JobHandle, attempt: int = 1) -> None:
    """Record that a job is about to start.

    Args:
        store: The records of this machine.
        handle: The job.
        attempt: Number of the attempt, counted from 1.
    """
    document = {
        "ticket": to_document(handle),
        "host": handle.host,
        "job": handle.job or None,
        "attempt": attempt,
        "status": PLANNED,
    }
    store.write(handle.run_id, handle.job_id, document)


def record_outcome(
    store: Store,
    run_id: str,
    job_id: str,
    outcome: JobOutcome,
    handle: JobHandle | None,
    *,
    origin: Provenance | None = None,
    logs: Logs = _NO_LOGS,
) -> None:
    """Record the outcome of a job, merged with its earlier record.

    Args:
        store: The records of this machine.
        run_id: The run.
        job_id: Its job.
        outcome: What this command found.
        handle: The job's handle, if this command has one.
        origin: What the job ran on, from and with, if this command has launched it.
        logs: The logs that this command has received.

    Raises:
        RecordError: It cannot be written.
    """
    before = _earlier(store, run_id, job_id)
    if before is not None and not _is_news(before, outcome, handle):
        return
    known = before or {}
    document: dict[str, Any] = job_document(outcome)
    document["seconds"] |= known.get("seconds", {})
    document["outputs"] = _outputs(known.get("outputs", []), document["outputs"])
    if origin is not None:
        document["provenance"] = provenance_document(origin, outcome.tasks, logs)
    elif known.get("provenance"):
        document["provenance"] = update_document(known["provenance"], outcome.tasks, logs)
    kept = known.get("ticket")
    if handle is not None or kept is not None:
        document["ticket"] = kept if handle is None else to_document(handle)
    store.write(run_id, job_id, document)


def was_seen(document: Document) -> bool:
    """Return whether this machine followed the job to its end and pulled its outputs."""
    stages = {Stage.RUN.value, Stage.PULL.value}
    return document.get("status") in ENDED and stages <= document.get("seconds", {}).keys()


def was_pulled(document: Document, handle: JobHandle | None) -> bool:
    """Return whether this machine has all outputs of a job that are pulled."""
    if was_seen(document):
        return True
    if handle is None:
        return False
    # A pull of some outputs, or of a running job, is not all.
    complete = {
        (output["task"], output["name"])
        for output in document.get("outputs", ())
        if not output.get("partial")
    }
    declared = {(each.task, each.name) for folder in handle.folders for each in folder.outputs}
    return declared <= complete


def _earlier(store: Store, run_id: str, job_id: str) -> Document | None:
    try:
        return store.read(run_id, job_id)
    except RecordError:
        # The record is a cache of what the host knows, so a new one may replace a damaged one.
        return None


def _is_news(before: Document, outcome: JobOutcome, handle: JobHandle | None) -> bool:
    """Return whether an outcome should replace the recorded one; a failed connection must not."""
    if before["status"] in ENDED:
        # Only a pull finds out whether outputs are missing.
        return Stage.PULL.value in outcome.seconds
    if outcome.status is Status.UNKNOWN and before["status"] == Status.NOT_STARTED.value:
        return False  # a host that cannot be asked does not make a job doubtful that never started
    if outcome.status is not Status.NOT_STARTED:
        return True
    is_answer = isinstance(outcome.error, NotStartedError)
    # A command that has the handle has asked the host and holds the claim.
    return is_answer or handle is not None or before["status"] == Status.NOT_STARTED.value


def _outputs(before: list[Document], now: list[Document]) -> list[Document]:
    """Return all pulled outputs; those of this command replace earlier ones."""
    every = {(output["task"], output["name"]): output for output in (*before, *now)}
    return list(every.values())
