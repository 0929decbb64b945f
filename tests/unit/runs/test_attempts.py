# SPDX-License-Identifier: Apache-2.0
"""The records of attempts: their format, their order, and those of older versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlcube_remote.errors import RecordError
from mlcube_remote.events.outcome import Status, TaskOutcome
from mlcube_remote.events.provenance import (
    CubeOrigin,
    FileStat,
    ImageIdentity,
    InputOrigin,
    LogDigest,
    Machine,
    Provenance,
    TaskOrigin,
    Tree,
)
from mlcube_remote.events.provenance_document import provenance_document, update_document
from mlcube_remote.runs.attempts import (
    SCHEMA,
    compile_attempts,
    latest_attempts,
    read_attempts,
    write_attempts,
)
from mlcube_remote.runs.git_state import GitState
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.secret import Secret

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
SHA = "0" * 64
TREE = Tree(files=1, size=2, sha256=SHA)
ORIGIN = Provenance(
    client_time=1.5,
    host_time=2,
    machine=Machine(kernel="6.1", cpus=2),
    command=("mlcube-remote", "run"),
    engine=("docker",),
    image="x",
    image_identity=ImageIdentity(id=SHA, digests=("r@sha256:1",), engine_version="20"),
    settings={"image": "x", "env_args": {"A": 1}, "odd": Secret("hunter2")},
    secrets=("TOKEN",),
    cube=CubeOrigin(tree=TREE, git=GitState(commit="1" * 40, dirty=None)),
    inputs=(
        InputOrigin(task="t", name="a", value="a", where="workspace", path="/a", tree=TREE),
        InputOrigin(task="t", name="b", value="/b", where="host", path="/b", stat=FileStat(3, 4)),
    ),
    tasks=(TaskOrigin(task="t", argv=("docker",), alternatives={"f": ("docker", "x")}),),
)
LOGS = {"t": {"stdout": LogDigest(size=1, sha256=SHA, tail="password: x")}}
ENDED = TaskOutcome(task="t", status=Status.SUCCEEDED, exit_code=0, started_ms=5, finished_ms=7)
PAGE = Path(__file__).parents[3] / "docs/reference/provenance.md"


def schema() -> Any:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.write(RUN_ID, RUN, {"jobs": [{"host": "gpu02"}, {"host": "gpu01"}], "cube": {}})
    document = provenance_document(ORIGIN, [ENDED], LOGS)
    store.write(RUN_ID, "b", {"host": "gpu01", "attempt": 2, "provenance": document})
    store.write(RUN_ID, "a", {"host": "gpu01", "attempt": 1, "status": "failed"})
    store.write(RUN_ID, "c", {"host": "gpu02", "status": "planned"})
    return store


def test_every_attempt_keeps_its_record(store: Store) -> None:
    found = compile_attempts(RUN_ID, store, pytest.fail)
    assert [attempt["id"] for attempt in found] == ["c", "a", "b"]
    assert [attempt["id"] for attempt in latest_attempts(found)] == ["c", "b"]


def test_records_have_the_schema_and_older_ones_are_read(store: Store) -> None:
    for attempt in compile_attempts(RUN_ID, store, pytest.fail):
        jsonschema.validate(attempt, schema())


def described_keys(known: Any, place: str = "") -> Iterator[str]:
    """Yield the place of each key that a schema describes, such as ``inputs[].path``."""
    known = next((each for each in known.get("anyOf", ()) if each["type"] != "null"), known)
    for key, inner in known.get("properties", {}).items():
        yield f"{place}{key}"
        yield from described_keys(inner, f"{place}{key}.")
    if isinstance(free := known.get("additionalProperties"), dict):
        yield from described_keys(free, f"{place}*.")
    if "items" in known:
        yield from described_keys(known["items"], f"{place[:-1]}[].")


def written_keys(value: Any, known: frozenset[str], place: str = "") -> Iterator[str]:
    """Yield the place of each key of a document; keys that may have any name are ``*``."""
    if isinstance(value, dict):
        is_free = any(each.startswith(f"{place}*") for each in known)
        for key, item in value.items():
            name = f"{place}{'*' if is_free else key}"
            if not is_free:
                yield name
            # Settings and the like are the user's.
            if any(each.startswith((f"{name}.", f"{name}[]")) for each in known):
                yield from written_keys(item, known, f"{name}.")
    for item in value if isinstance(value, list) else ():
        yield from written_keys(item, known, f"{place[:-1]}[].")


def test_the_schema_and_the_page_describe_every_key_that_is_written(store: Store) -> None:
    attempt = compile_attempts(RUN_ID, store, pytest.fail)[-1]
    assert attempt.keys() == schema()["properties"].keys()
    known = frozenset(described_keys(schema()["properties"]["provenance"]))
    assert set(written_keys(attempt["provenance"], known)) == known
    assert {"image.digests", "inputs[].modified", "tasks[].logs.*.tail", "cube.git.dirty"} <= known
    page = PAGE.read_text(encoding="utf-8")
    names = {re.split(r"[.\]]+", each)[-1] for each in known}
    assert sorted(key for key in {*attempt, *names} if f"`{key}`" not in page) == []


def test_no_secret_is_recorded(store: Store) -> None:
    assert "hunter2" not in json.dumps(compile_attempts(RUN_ID, store, pytest.fail))


def test_a_later_command_adds_the_end_of_a_task() -> None:
    before = provenance_document(ORIGIN, [], {})
    assert before["tasks"][0]["started_ms"] is None
    after = update_document(before, [ENDED], LOGS)
    assert after == provenance_document(ORIGIN, [ENDED], LOGS)
    assert update_document(after, [], {}) == after


def test_the_files_beside_the_results_have_no_ends_of_logs(store: Store, tmp_path: Path) -> None:
    write_attempts(RUN_ID, store, tmp_path, pytest.fail)
    found = read_attempts(tmp_path)
    assert [attempt["id"] for attempt in found] == ["a", "b", "c"]
    assert "password" not in (tmp_path / "attempts/b.json").read_text()
    jsonschema.validate(found[1], schema())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "x"}', '{"version": 99}'])
def test_a_damaged_or_newer_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts/x.json").write_text(text)
    with pytest.raises(RecordError, match=r"x\.json"):
        read_attempts(tmp_path)
