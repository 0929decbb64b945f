# SPDX-License-Identifier: Apache-2.0
"""``--output=json``: one JSON document, described in docs/reference/json.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.documents import error_document, job_document
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status

VERSION = 1
"""Version of all documents; increased if a field changes its meaning."""


def run_document(run_id: str, outcomes: Sequence[JobOutcome], exit_code: int) -> dict[str, Any]:
    """Return the results of a run."""
    return {
        "version": VERSION,
        "run": run_id,
        "status": run_status(outcomes),
        "exit_code": exit_code,
        "jobs": [job_document(outcome) for outcome in outcomes],
    }


def run_status(outcomes: Sequence[JobOutcome]) -> str:
    """Return the run's status; a run is not failed if its jobs may still be running."""
    statuses = {outcome.status for outcome in outcomes} - {Status.SUCCEEDED}
    if statuses and statuses <= OPEN:
        return "queued" if statuses == {Status.QUEUED} else "running"
    if statuses and statuses <= {*OPEN, Status.UNKNOWN}:
        return "unknown"
    return "failed" if statuses else "succeeded"


def failure_document(error: MLCubeRemoteError) -> dict[str, Any]:
    """Return an error that ended a command before it had anything else to print."""
    return {"version": VERSION, "error": error_document(error)}


def dump(document: dict[str, Any], stream: TextIO) -> None:
    """Write a document and its version; bytes that are not UTF-8 become escaped lone surrogates."""
    stream.write(json.dumps({"version": VERSION, **document}, indent=2) + "\n")
    stream.flush()
