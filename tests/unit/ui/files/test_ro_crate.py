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


def test_the_metadata_has_what_the_profile_requires(
    attempts: list[dict[str, Any]], tmp_path: Path
) -> None:
    write_ro_crate(attempts, index_of(attempts), tmp_path / "crate")
    metadata = json.loads((tmp_path / "crate/ro-crate-metadata.json").read_text())
    entities = {each["@id"]: each for each in metadata["@graph"]}
    root = entities["./"]
    assert {"@id": PROFILE} in as_list(root["conformsTo"])
    assert "CreativeWork" in as_list(entities[PROFILE]["@type"])
    assert root["name"]
    assert root["description"]
    assert root["license"]
    for mention in as_list(root["mentions"]):
        action = entities[mention["@id"]]
        assert action["endTime" if "endTime" in action else "startTime"]
        for key in ("instrument", "agent", "result", "object"):
            for reference in as_list(action[key]):
                assert reference["@id"] in entities, key


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_a_directory_with_files_is_refused(attempts: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has files"):
        write_ro_crate(attempts, index_of(attempts), tmp_path)
