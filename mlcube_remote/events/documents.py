# SPDX-License-Identifier: Apache-2.0
"""Outcomes as JSON documents, for ``--output=json``, records and results."""

from __future__ import annotations

from typing import Any

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.exit_codes import job_exit_code
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, TaskOutcome
from mlcube_remote.events.output_state import OutputState


def job_document(outcome: JobOutcome) -> dict[str, Any]:
    """Return the JSON document of a job."""
    return {
        "host": outcome.host or None,
        "job": outcome.job or None,
        "parameters": dict(outcome.parameters),
        "attempt": outcome.attempt,
        "platform": outcome.platform,
        "status": outcome.status.value,
        "exit_code": job_exit_code(outcome),
        "error": None if outcome.error is None else error_document(outcome.error),
        "seconds": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
        "tasks": [_task(task) for task in outcome.tasks],
        "outputs": [_output(output) for output in outcome.outputs],
    }


def _task(task: TaskOutcome) -> dict[str, Any]:
    return {
        "task": task.task,
        "status": task.status.value,
        "exit_code": task.exit_code,
        "reason": task.reason,
        "started": task.started,
        "finished": task.finished,
        "seconds": task.seconds,
    }


def _output(output: PulledOutput) -> dict[str, Any]:
    content = output.content
    # Numbers that an earlier run has written are not those of this one.
    has_metrics = content is not None and output.state is not OutputState.UNCHANGED
    return {
        "task": output.task,
        "name": output.name,
        "path": str(output.path),
        "state": None if output.state is None else output.state.value,
        "partial": output.is_partial,
        "omitted": list(output.omitted),
        "files": None if content is None else content.files,
        "size": None if content is None else content.size,
        "sha256": None if content is None else content.sha256,
        "metrics": dict(content.metrics) if content is not None and has_metrics else {},
    }


def error_document(error: MLCubeRemoteError) -> dict[str, Any]:
    """Return the JSON document of an error."""
    return {
        "kind": error.kind,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
