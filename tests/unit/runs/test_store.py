# SPDX-License-Identifier: Apache-2.0
"""Records are whole or not there, nobody else reads them, and damage is told in a line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.runs.store import FORMAT, RUN, RecordError, Store, state_home

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_written_is_read_back(store: Store, durable: bool) -> None:
    store.write(RUN_ID, RUN, {"hosts": ["ä", "b"]}, durable=durable)
    assert store.read(RUN_ID, RUN) == {"format": FORMAT, "hosts": ["ä", "b"]}
    assert [path.name for path in (store.root / RUN_ID).iterdir()] == ["run.json"]


def test_only_the_owner_reads_records(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    folder = store.root / RUN_ID
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.read(RUN_ID, RUN) is None
    assert list(store.runs()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}', '{"format": "1"}', "[" * 5000])
def test_a_damaged_record_is_told_with_its_path(store: Store, text: str) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / RUN_ID / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json: damaged record") as caught:
        store.read(RUN_ID, RUN)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("rm ")


def test_a_record_of_a_later_version_is_refused_politely(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / RUN_ID / "run.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(RecordError, match="later mlcube-remote") as caught:
        store.read(RUN_ID, RUN)
    assert "upgrade" in str(caught.value.hint)


def test_runs_are_listed_newest_first_and_strangers_left_out(store: Store) -> None:
    for name in ("261123-190233-" + "a" * 16, "261124-190233-" + "a" * 16):
        store.write(name, RUN, {})
    (store.root / "notes").mkdir()
    assert list(store.runs()) == ["261124-190233-" + "a" * 16, "261123-190233-" + "a" * 16]


def test_a_run_is_found_by_either_end_of_its_id(store: Store) -> None:
    other = new_run_id()
    for name in (RUN_ID, other):
        store.write(name, RUN, {})
    assert store.matching("w2ez") == [RUN_ID]
    assert store.matching("261123-190233") == [RUN_ID]
    assert store.matching(RUN_ID) == [RUN_ID]
    assert store.matching("nothing") == []


def test_jobs_are_listed_without_the_run_itself(store: Store) -> None:
    for name in (RUN, "b", "a"):
        store.write(RUN_ID, name, {})
    assert store.jobs(RUN_ID) == ["a", "b"]


def test_forgetting_deletes_one_run_and_nothing_that_is_none(store: Store) -> None:
    store.write(RUN_ID, RUN, {})
    (store.root / "precious").mkdir()
    for name in ("precious", "..", RUN_ID, RUN_ID):
        store.forget(name)
    assert [path.name for path in store.root.iterdir()] == ["precious"]


def test_a_place_that_cannot_be_written_is_told_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be recorded") as caught:
        Store(tmp_path / "file" / "runs").write(RUN_ID, RUN, {})
    assert "XDG_STATE_HOME" in str(caught.value.hint)


def test_the_state_home_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_home() == tmp_path / "mlcube-remote"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/no/place")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_home() == tmp_path / ".local" / "state" / "mlcube-remote"
