# SPDX-License-Identifier: Apache-2.0
"""What this machine writes down of a job, command after command."""

from __future__ import annotations

from typing import Any

from mlcube_remote.dispatch.documents import job_document
from mlcube_remote.dispatch.events import Stage
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.dispatch.ticket import Ticket, to_document
from mlcube_remote.errors import NotStartedError, RecordError
from mlcube_remote.runs.store import Document, Store

PLANNED = "planned"
"""Status of a job that is about to be started: written before, so that it can be found again."""

_OVER = frozenset(
    status.value
    for status in (
        Status.SUCCEEDED,
        Status.FAILED,
        Status.KILLED,
        Status.CANCELLED,
        Status.LOST,
    )
)
"""What a job can end as, once it had been started."""


def plan_to_start(store: Store, ticket: Ticket, attempt: int = 1) -> None:
    """Write down that a job is about to be started.

    Args:
        store: Where this machine remembers its runs.
        ticket: The job.
        attempt: How often it will have been begun.
    """
    document = {
        "ticket": to_document(ticket),
        "host": ticket.host,
        "job": ticket.job or None,
        "attempt": attempt,
        "status": PLANNED,
    }
    store.write(ticket.run_id, ticket.job_id, document)


def remember(
    store: Store, run_id: str, job_id: str, outcome: JobOutcome, ticket: Ticket | None
) -> None:
    """Write down how a job stands now, on top of what was known of it before.

    Args:
        store: Where this machine remembers its runs.
        run_id: The run.
        job_id: Its job.
        outcome: What this command found.
        ticket: The job's, if this command came to have it.

    Raises:
        RecordError: It cannot be written.
    """
    before = _before(store, run_id, job_id)
    if before is not None and not _tells_more(before, outcome, ticket):
        return
    known = before or {}
    document: dict[str, Any] = job_document(outcome)
    document["seconds"] |= known.get("seconds", {})
    document["outputs"] = _outputs(known.get("outputs", []), document["outputs"])
    kept = known.get("ticket")
    if ticket is not None or kept is not None:
        document["ticket"] = kept if ticket is None else to_document(ticket)
    store.write(run_id, job_id, document)


def was_seen(document: Document) -> bool:
    """Whether a job was followed to its end here, and what it made was pulled."""
    stages = {Stage.RUN.value, Stage.PULL.value}
    return document.get("status") in _OVER and stages <= document.get("seconds", {}).keys()


def _before(store: Store, run_id: str, job_id: str) -> Document | None:
    try:
        return store.read(run_id, job_id)
    except RecordError:
        # The record is a cache of what the host knows: a whole one takes a damaged one's place.
        return None


def _tells_more(before: Document, outcome: JobOutcome, ticket: Ticket | None) -> bool:
    """Whether an outcome is news: who only looked, or got nowhere, knows less than the record."""
    if before["status"] in _OVER:
        # Only a pull sees whether outputs are missing.
        return Stage.PULL.value in outcome.seconds
    if outcome.status is not Status.NOT_STARTED:
        return True
    told = isinstance(outcome.error, NotStartedError)
    # Who has the ticket has asked the host, and holds the claim there.
    return told or ticket is not None or before["status"] == Status.NOT_STARTED.value


def _outputs(before: list[Document], now: list[Document]) -> list[Document]:
    """Return all outputs that are here, those of this command in the place of earlier ones."""
    every = {(output["task"], output["name"]): output for output in (*before, *now)}
    return list(every.values())
