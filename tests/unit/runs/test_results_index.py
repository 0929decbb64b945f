# SPDX-License-Identifier: Apache-2.0
"""The index of results: every job of the run, whole or not there, readable wherever it is moved."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.dispatch.events import JobFinished, Level, Note
from mlcube_remote.dispatch.index import Indexer
from mlcube_remote.dispatch.outcome import JobOutcome, Status
from mlcube_remote.runs.results_index import VERSION, compile_index, home_of, publish, read_index
from mlcube_remote.runs.store import RUN, RecordError, Store

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "results" / RUN_ID


def no_complaint(problem: str) -> None:
    raise AssertionError(problem)


def begin(store: Store, home: Path, *hosts: str, **parameters: str) -> None:
    jobs = [{"host": host, "job": f"{host}-1", "parameters": parameters} for host in hosts]
    store.write(RUN_ID, RUN, {"run": RUN_ID, "jobs": jobs, "results": str(home)})


def end(store: Store, host: str, home: Path, **changes: Any) -> None:
    output = {"task": "t", "name": "m", "path": f"{home}/{host}/m.json", "metrics": {"a": 1}}
    task = {"task": "t", "status": "succeeded", "exit_code": 0, "started": 10, "finished": 14}
    known: Mapping[str, Any] = {
        "host": host,
        "status": "succeeded",
        "exit_code": 0,
        "tasks": [task],
        "outputs": [output],
        **changes,
    }
    store.write(RUN_ID, f"{host}-1", dict(known))


def test_every_job_of_the_run_is_in_it_with_what_is_known_by_now(store: Store, home: Path) -> None:
    begin(store, home, "a", "b", "c", lr="0.1")
    end(store, "a", home)
    end(store, "b", home, status="planned", tasks=[], outputs=[])
    index = compile_index(RUN_ID, store, no_complaint)
    assert [(job["host"], job["status"]) for job in index["jobs"]] == [
        ("a", "succeeded"),
        ("b", "unknown"),
        ("c", "unknown"),
    ]
    first = index["jobs"][0]
    assert (first["started"], first["finished"], first["exit_code"]) == (10, 14, 0)
    assert first["parameters"] == {"lr": "0.1"}


def test_a_run_that_was_begun_elsewhere_has_the_jobs_that_were_seen(
    store: Store, home: Path
) -> None:
    end(store, "a", home)
    (job,) = compile_index(RUN_ID, store, no_complaint)["jobs"]
    assert (job["id"], job["host"], job["status"]) == ("a-1", "a", "succeeded")


def test_a_job_that_was_begun_again_is_shown_as_of_the_last_time(store: Store, home: Path) -> None:
    begin(store, home, "a", "b")
    end(store, "a", home, status="failed")
    end(store, "b", home)
    again = {"host": "a", "job": "a-2", "attempt": 2}
    jobs = [again, {"host": "b", "job": "b-1"}]
    store.write(RUN_ID, RUN, {"run": RUN_ID, "jobs": jobs, "results": str(home)})

    def shown() -> list[tuple[str, str, int]]:
        index = compile_index(RUN_ID, store, no_complaint)
        return [(job["id"], job["status"], job["attempt"]) for job in index["jobs"]]

    assert shown() == [("a-2", "unknown", 2), ("b-1", "succeeded", 1)]
    store.write(RUN_ID, "a-2", {"host": "a", "attempt": 2, "status": "succeeded"})
    assert shown() == [("a-2", "succeeded", 2), ("b-1", "succeeded", 1)]


def test_a_damaged_record_is_told_and_its_job_unknown(store: Store, home: Path) -> None:
    begin(store, home, "a", "b")
    end(store, "a", home)
    (store.root / RUN_ID / "a-1.json").write_text("{")
    told: list[str] = []
    index = compile_index(RUN_ID, store, told.append)
    assert [job["status"] for job in index["jobs"]] == ["unknown", "unknown"]
    assert len(told) == 1
    assert "a-1.json: damaged record" in told[0]


def test_only_several_jobs_have_a_folder_of_results(store: Store, home: Path) -> None:
    assert home_of(RUN_ID, store) is None
    begin(store, home, "a")
    assert home_of(RUN_ID, store) is None
    begin(store, home, "a", "b")
    assert home_of(RUN_ID, store) == home


def test_a_folder_of_results_can_be_moved(store: Store, home: Path, tmp_path: Path) -> None:
    begin(store, home, "a", "b")
    end(store, "a", home)
    publish(RUN_ID, store, home, no_complaint)
    assert json.loads((home / "results.json").read_text())["jobs"][0]["outputs"][0]["path"] == (
        "a/m.json"
    )
    moved = tmp_path / "elsewhere"
    shutil.move(home, moved)
    index = read_index(moved / "results.json")
    assert index["jobs"][0]["outputs"][0]["path"] == str(moved / "a/m.json")
    assert index["version"] == VERSION


def test_colleagues_may_read_it_and_nothing_else_is_left(store: Store, home: Path) -> None:
    begin(store, home, "a", "b")
    for _ in range(2):
        publish(RUN_ID, store, home, no_complaint)
    (file,) = home.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444


def test_a_place_that_cannot_be_written_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="results cannot be indexed") as caught:
        publish(RUN_ID, store, tmp_path / "file" / "results", no_complaint)
    assert f"results show {RUN_ID}" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no index of results"),
        ("[]", "no version"),
        ("[" * 100_000, "no index of results"),
        ('{"version": "1"}', "no version"),
        (f'{{"version": {VERSION + 1}}}', "later mlcube-remote"),
        ('{"version": 1}', "damaged index"),
        ('{"version": 1, "jobs": [{}]}', "damaged index"),
        ('{"version": 1, "jobs": [{"outputs": [3]}]}', "damaged index"),
        ('{"version": 1, "jobs": [{"outputs": [{"path": 3}]}]}', "damaged index"),
    ],
)
def test_what_is_no_index_is_told_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        read_index(file)
    assert str(file) in str(caught.value)


def finished(host: str) -> JobFinished:
    outcome = JobOutcome(host=host, platform="docker", status=Status.SUCCEEDED, seconds={})
    return JobFinished(host=host, at=0.0, outcome=outcome)


def test_the_index_appears_with_the_first_job_that_ends(store: Store, home: Path) -> None:
    begin(store, home, "a", "b")
    indexer = Indexer(store=store, run_id=RUN_ID, home=home)
    indexer.handle(Note(host="a", at=0.0, level=Level.INFO, text="x"))
    assert not home.exists()
    end(store, "a", home)
    indexer.handle(finished("a"))
    end(store, "b", home)
    indexer.handle(finished("b"))
    states = [job["status"] for job in read_index(home / "results.json")["jobs"]]
    assert states == ["succeeded", "unknown"], "not written twice in so short a time"
    indexer.write()
    states = [job["status"] for job in read_index(home / "results.json")["jobs"]]
    assert states == ["succeeded", "succeeded"]


def test_an_index_that_cannot_be_written_ends_no_run(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    indexer = Indexer(store=store, run_id=RUN_ID, home=tmp_path / "file" / "x")
    indexer.handle(finished("a"))
    indexer.write()
    assert len(indexer.problems) == 1
