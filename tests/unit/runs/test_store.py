# SPDX-License-Identifier: Apache-2.0
"""Records are written atomically, private, and damage is reported in one line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mlcube_remote.errors import RecordError
from mlcube_remote.runs.documents import FORMAT
from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.runs.store import RUN, Store

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.mark.parametrize("durable", [True, False])
def test_a_written_record_is_read_back(store: Store, durable: bool) -> None:
    store.write(RUN_ID, RUN, {"hosts": ["ä", "b"]}, durable=durable)
    assert store.read(RUN_ID, RUN) == {"format": FORMAT, "hosts": ["ä", "b"]}
    assert [path.name for path in (store.root / RUN_ID).iterdir()] == ["run.json"]


def test_only_the_owner_reads_records(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    folder = store.root / RUN_ID
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600


def test_a_missing_record_is_none(store: Store) -> None:
    assert store.read(RUN_ID, RUN) is None
    assert list(store.runs()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}', '{"format": "1"}', "[" * 5000])
def test_a_damaged_record_is_reported_with_its_path(store: Store, text: str) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / RUN_ID / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json: damaged record") as caught:
        store.read(RUN_ID, RUN)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("rm ")


def test_a_record_of_a_newer_version_is_refused(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / RUN_ID / "run.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(RecordError, match="newer mlcube-remote") as caught:
        store.read(RUN_ID, RUN)
    assert "upgrade" in str(caught.value.hint)


def test_runs_are_listed_newest_first_without_other_directories(store: Store) -> None:
    for name in ("261123-190233-" + "a" * 16, "261124-190233-" + "a" * 16):
        store.write(name, RUN, {})
    (store.root / "notes").mkdir()
    assert list(store.runs()) == ["261124-190233-" + "a" * 16, "261123-190233-" + "a" * 16]


def test_a_run_is_found_by_the_start_or_the_end_of_its_id(store: Store) -> None:
    other = new_run_id()
    for name in (RUN_ID, other):
        store.write(name, RUN, {})
    assert store.matching("w2ez") == [RUN_ID]
    assert store.matching("261123-190233") == [RUN_ID]
    assert store.matching(RUN_ID) == [RUN_ID]
    assert store.matching("nothing") == []


def test_the_list_of_jobs_does_not_have_the_run(store: Store) -> None:
    for name in (RUN, "b", "a"):
        store.write(RUN_ID, name, {})
    assert store.jobs(RUN_ID) == ["a", "b"]


def test_forget_deletes_one_run_and_no_other_directory(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / "precious").mkdir()
    for name in ("precious", "..", RUN_ID, RUN_ID):
        store.forget(name)
    assert [path.name for path in store.root.iterdir()] == ["precious"]


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be recorded") as caught:
        Store(tmp_path / "file" / "runs").write(RUN_ID, RUN, {})
    assert "XDG_STATE_HOME" in str(caught.value.hint)
