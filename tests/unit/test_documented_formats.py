# SPDX-License-Identifier: Apache-2.0
"""The formats in docs/reference are those that the code writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mlcube_remote.errors import UnreachableError
from mlcube_remote.events import output_content as content
from mlcube_remote.events.documents import job_document
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.events.output_content import OutputContent
from mlcube_remote.runs.results_index import compile_index
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.ui.files.json_output import run_document

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

OUTCOME = JobOutcome(
    host="gpu01",
    platform="docker",
    status=Status.FAILED,
    seconds={"connect": 0.2},
    tasks=(TaskOutcome(task="train", status=Status.FAILED, exit_code=3),),
    error=UnreachableError("gpu01", "no route"),
    outputs=(
        PulledOutput(
            task="train",
            name="log",
            path=Path("/x"),
            content=OutputContent(files=1, size=1, sha256=""),
        ),
    ),
)


def example(page: str) -> Any:
    """Return the first JSON document of a page."""
    found = re.search(r"```json\n(.*?)```", (REFERENCE / page).read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def shape(value: Any) -> Any:
    """Return the keys of a document, in order; keys that are names of a user are ignored."""
    if isinstance(value, dict):
        free = {"seconds", "metrics", "parameters", "error", "cube"}
        return {key: None if key in free else shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else None


def test_the_document_of_a_run_is_as_described() -> None:
    assert shape(example("json.md")) == shape(run_document("x", [OUTCOME], 1))


def test_the_index_of_results_is_as_described(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_id = "261123-190233-k3j5h2g7x4q6w2ez"
    store.write(run_id, RUN, {"jobs": [{"host": "gpu01", "job": "j"}]})
    store.write(run_id, "j", job_document(OUTCOME))
    assert shape(example("results.md")) == shape(compile_index(run_id, store, print))


def test_the_digest_of_a_directory_is_made_as_described() -> None:
    command = str(content.__doc__).split("::")[1].strip()
    assert f"```sh\n{command}\n```" in (REFERENCE / "results.md").read_text()
