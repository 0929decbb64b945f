# SPDX-License-Identifier: Apache-2.0
"""``--output=json``: one document, described in docs/reference/json.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from mlcube_remote.events.documents import job_document
from mlcube_remote.events.outcome import JobOutcome, Status

VERSION = 1
"""Of the document; raised when something in it changes its meaning."""


def run_document(run_id: str, outcomes: Sequence[JobOutcome], exit_code: int) -> dict[str, Any]:
    """Return what a run came to."""
    return {
        "version": VERSION,
        "run": run_id,
        "status": run_status(outcomes),
        "exit_code": exit_code,
        "jobs": [job_document(outcome) for outcome in outcomes],
    }


def run_status(outcomes: Sequence[JobOutcome]) -> str:
    """Return the run's status; what may still be going on is not called failed."""
    found = {outcome.status for outcome in outcomes} - {Status.SUCCEEDED}
    if found == {Status.RUNNING}:
        return "running"
    if found and found <= {Status.RUNNING, Status.UNKNOWN}:
        return "unknown"
    return "failed" if found else "succeeded"


def dump(document: dict[str, Any], stream: TextIO) -> None:
    """Write a document; bytes that are not UTF-8 become escapes of lone surrogates."""
    stream.write(json.dumps(document, indent=2) + "\n")
    stream.flush()
