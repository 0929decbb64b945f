# SPDX-License-Identifier: Apache-2.0
"""The JSON document of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.events.outcome import PulledOutput, Status
from mlcube_remote.ui.files.json_output import dump, run_document
from tests.support.outcomes import failed as outcome


def test_the_document_is_ascii_json_with_any_file_name() -> None:
    error = UnreachableError("gpu01", "no route", hint="fix it")
    odd = PulledOutput(task="t", name="o", path=Path("/x/\udcff"))
    stream = io.StringIO()
    dump(run_document("run-id", [outcome(error=error, outputs=(odd,))], 120), stream)
    stream.getvalue().encode("ascii")
    document = json.loads(stream.getvalue())
    (job,) = document["jobs"]
    assert (document["version"], document["run"], document["exit_code"]) == (1, "run-id", 120)
    assert document["status"] == "failed"
    assert job["error"] == {
        "kind": "Unreachable",
        "message": "gpu01: no route",
        "hint": "fix it",
        "exit_code": 120,
    }
    assert job["tasks"][1]["exit_code"] == 3
    assert job["outputs"][0]["path"] == "/x/\udcff"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.SUCCEEDED, Status.SUCCEEDED], "succeeded"),
        ([Status.SUCCEEDED, Status.UNKNOWN], "unknown"),
        ([Status.FAILED, Status.UNKNOWN], "failed"),
        ([Status.CANCELLED], "failed"),
    ],
)
def test_a_run_that_may_still_run_has_not_failed(statuses: list[Status], expected: str) -> None:
    document = run_document("r", [outcome(status=status) for status in statuses], 1)
    assert document["status"] == expected
