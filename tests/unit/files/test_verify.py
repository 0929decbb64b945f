# SPDX-License-Identifier: Apache-2.0
"""Files that are no longer as they were recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.events.output_content import describe_output
from mlcube_remote.files.trees import read_tree
from mlcube_remote.files.verify import Verdict, verify
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.manifests import Manifests


def output(path: Path, state: str = "made") -> dict[str, Any]:
    content = describe_output(path, Digests())
    assert content is not None
    return {
        "task": "train",
        "name": "model",
        "path": str(path),
        "state": state,
        "sha256": content.sha256,
    }


def attempt(*outputs: dict[str, Any], inputs: Any = (), number: int = 1) -> dict[str, Any]:
    return {
        "id": f"x{number}",
        "job": None,
        "host": "gpu01",
        "attempt": number,
        "cube": None,
        "outputs": list(outputs),
        "provenance": {"inputs": list(inputs)},
    }


def problems(*attempts: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (item.verdict.value, Path(item.path).name)
        for item in verify(list(attempts))
        if item.verdict is not Verdict.SAME
    ]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "a").write_text("a")
    (model / "sub/b").write_text("b")
    return model


def test_unchanged_results_are_the_same(model: Path) -> None:
    assert problems(attempt(output(model), output(model / "a"))) == []


def test_a_changed_a_missing_and_an_added_file_are_named(model: Path) -> None:
    recorded = attempt(output(model))
    (model / "a").write_text("A")
    (model / "sub/b").unlink()
    (model / "c").write_text("")
    assert problems(recorded) == [("changed", "a"), ("missing", "b"), ("added", "c")]


def test_files_older_than_the_run_are_not_added_ones(model: Path) -> None:
    recorded = attempt(output(model, state="updated"))
    (model / "old").write_text("")
    assert problems(recorded) == []


def test_a_large_file_is_read_again_whatever_the_cache_says(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"a" * 2_000_000)
    recorded = attempt(output(file))
    Digests().save()
    before = file.stat()
    file.write_bytes(b"a" * 1_999_999 + b"b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert problems(recorded) == [("changed", "large")]


def test_an_output_that_is_gone_is_missing(model: Path, tmp_path: Path) -> None:
    recorded = attempt(output(model))
    model.rename(tmp_path / "elsewhere")
    assert problems(recorded) == [("missing", "model")]


def test_without_the_names_a_directory_is_compared_as_a_whole(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = attempt(output(model))
    (model / "a").write_text("A")
    monkeypatch.setattr(Manifests, "read", lambda *_: None)
    assert problems(recorded) == [("changed", "model")]


def test_only_the_last_attempt_counts(model: Path) -> None:
    first = attempt(output(model))
    (model / "a").write_text("A")
    assert problems(first, attempt(output(model), number=2)) == []


def test_an_input_that_has_changed_is_named(model: Path) -> None:
    tree = read_tree(model, Digests(), Manifests())
    inputs = [
        {"task": "t", "name": "i", "where": "workspace", "path": str(model), "sha256": tree.sha256}
    ]
    recorded = attempt(inputs=inputs)
    assert problems(recorded) == []
    (model / "a").write_text("A")
    (model / "new").write_text("")
    assert problems(recorded) == [("changed", "a"), ("added", "new")]


def test_a_record_of_an_older_version_is_verified(model: Path) -> None:
    assert problems({**attempt(output(model)), "provenance": None}) == []
