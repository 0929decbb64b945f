# SPDX-License-Identifier: Apache-2.0
"""``--output=json``: one document, described in docs/reference/json.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.errors import MLCubeRemoteError

VERSION = 1
"""Of the document; raised when something in it changes its meaning."""


def run_document(run_id: str, outcomes: Sequence[JobOutcome], exit_code: int) -> dict[str, Any]:
    """Return what a run came to."""
    return {
        "version": VERSION,
        "run": run_id,
        "status": _status(outcomes),
        "exit_code": exit_code,
        "jobs": [_job(outcome) for outcome in outcomes],
    }


def _status(outcomes: Sequence[JobOutcome]) -> str:
    """Return the run's status; what may still be going on is not called failed."""
    found = {outcome.status for outcome in outcomes} - {Status.SUCCEEDED}
    if found == {Status.RUNNING}:
        return "running"
    if found and found <= {Status.RUNNING, Status.UNKNOWN}:
        return "unknown"
    return "failed" if found else "succeeded"


def _job(outcome: JobOutcome) -> dict[str, Any]:
    return {
        "host": outcome.host or None,
        "job": outcome.job or None,
        "parameters": dict(outcome.parameters),
        "platform": outcome.platform,
        "status": outcome.status.value,
        "error": None if outcome.error is None else error_document(outcome.error),
        "seconds": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
        "tasks": [
            {
                "task": task.task,
                "status": task.status.value,
                "exit_code": task.exit_code,
                "reason": task.reason,
                "seconds": task.seconds,
            }
            for task in outcome.tasks
        ],
        "outputs": [
            {
                "task": output.task,
                "name": output.name,
                "path": str(output.path),
                "partial": output.is_partial,
            }
            for output in outcome.outputs
        ],
    }


def error_document(error: MLCubeRemoteError) -> dict[str, Any]:
    """Return an error as a program can read it."""
    return {
        "kind": type(error).__name__.removesuffix("Error"),
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def dump(document: dict[str, Any], stream: TextIO) -> None:
    """Write a document; bytes that are not UTF-8 become escapes of lone surrogates."""
    stream.write(json.dumps(document, indent=2) + "\n")
    stream.flush()
