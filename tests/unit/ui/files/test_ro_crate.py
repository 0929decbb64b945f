# SPDX-License-Identifier: Apache-2.0
"""A run as an RO-Crate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from mlcube_remote.errors import UsageError
from mlcube_remote.ui.files.ro_crate import PROFILE, write_ro_crate
from tests.support.checkers import validate_crate
from tests.support.reported_runs import attempt, index_of


@pytest.fixture
def attempts(tmp_path: Path) -> list[dict[str, Any]]:
    found = [attempt(number, tmp_path) for number in (6, 7)]
    for each in found:
        for output in each["outputs"]:
            output["sha256"] = "0" * 64
    return found


def test_a_crate_has_an_action_for_each_job(attempts: list[dict[str, Any]], tmp_path: Path) -> None:
    write_ro_crate(attempts, index_of(attempts), tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    actions = [each for each in crate.contextual_entities if each.type == "CreateAction"]
    statuses = [action["actionStatus"].rpartition("/")[2] for action in actions]
    assert statuses == ["CompletedActionStatus", "FailedActionStatus"]
    assert actions[1]["error"] == "train: out of memory"
    results = [each for action in actions for each in action["result"]]
    assert len(results) == 2
    assert all((tmp_path / "crate" / each.id).is_file() for each in results)
    metadata = json.loads((tmp_path / "crate/ro-crate-metadata.json").read_text())
    assert PROFILE in json.dumps(metadata)


EXPECTED = {
    "process-run-crate-0.5_3.2": "no address of the cube is known",
    "process-run-crate-0.5_5.1": "the rule is about the class, not about the cube",
    "process-run-crate-0.5_11.1": "a failed job may have no result",
    "process-run-crate-0.5_13.2": "an image that was built has no registry",
    "ro-crate-1.1_22.1": "the license is the user's to choose",
    "ro-crate-1.1_30.2": "no one has said who employs the author",
    "ro-crate-1.1_30.3": "likewise",
    "ro-crate-1.1_22.3": "it is not published",
}
"""Recommendations that a run does not follow, and why."""


def test_a_validator_of_the_profile_accepts_the_crate(
    attempts: list[dict[str, Any]], tmp_path: Path
) -> None:
    attempts[0]["provenance"]["image"] |= {"sha256": "4" * 64, "id": None}
    attempts[1]["outputs"] = []
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"x")
    model = {**attempts[0]["outputs"][0], "name": "model", "path": str(tmp_path / "model")}
    attempts[0]["outputs"].append(model)
    write_ro_crate(attempts, index_of(attempts), tmp_path / "crate")
    found = validate_crate(tmp_path / "crate", "process-run-crate")
    assert [item for item in found if item[1] not in EXPECTED] == []
    assert {severity for severity, _, _ in found} == {"RECOMMENDED"}


def test_the_validator_finds_what_is_missing(
    attempts: list[dict[str, Any]], tmp_path: Path
) -> None:
    write_ro_crate(attempts, index_of(attempts), tmp_path / "crate")
    path = tmp_path / "crate/ro-crate-metadata.json"
    path.write_text(path.read_text().replace('"instrument"', '"tool"'))
    found = validate_crate(tmp_path / "crate", "process-run-crate")
    assert "REQUIRED" in {severity for severity, _, _ in found}


def test_a_job_has_its_image_its_parameters_and_its_inputs(
    attempts: list[dict[str, Any]], tmp_path: Path
) -> None:
    write_ro_crate(attempts, index_of(attempts), tmp_path / "crate")
    metadata = json.loads((tmp_path / "crate/ro-crate-metadata.json").read_text())
    entities = {each["@id"]: each for each in metadata["@graph"]}
    (action, _) = (entities[each["@id"]] for each in entities["./"]["mentions"])
    image = entities[action["containerImage"]["@id"]]
    assert (image["name"], image["sha256"]) == ("mnist:0.1", "1" * 64)
    values = {entities[each["@id"]]["name"]: entities[each["@id"]] for each in action["object"]}
    assert values["lr"]["value"] == "0.01"
    assert values["train.data"]["value"] == "/data"


def test_a_directory_with_files_is_refused(attempts: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has files"):
        write_ro_crate(attempts, index_of(attempts), tmp_path)
