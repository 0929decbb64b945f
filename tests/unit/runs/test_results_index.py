# SPDX-License-Identifier: Apache-2.0
"""The index of results: all jobs of the run, written atomically, readable after a move."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlcube_remote.errors import RecordError
from mlcube_remote.events.model import JobFinished, Level, Note
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.jobs import results_index as indexer_module
from mlcube_remote.jobs.results_index import ResultsIndexer
from mlcube_remote.runs.results_index import (
    VERSION,
    compile_index,
    read_index,
    results_directory,
    write_index,
)
from mlcube_remote.runs.store import RUN, Store

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "results" / RUN_ID


def no_warning(problem: str) -> None:
    raise AssertionError(problem)


def start(store: Store, home: Path, *hosts: str, **parameters: str) -> None:
    jobs = [{"host": host, "job": f"{host}-1", "parameters": parameters} for host in hosts]
    store.write(RUN_ID, RUN, {"run": RUN_ID, "jobs": jobs, "results": str(home)})


def finish(store: Store, host: str, home: Path, **changes: Any) -> None:
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


def test_the_index_has_every_job_with_its_last_known_state(store: Store, home: Path) -> None:
    start(store, home, "a", "b", "c", lr="0.1")
    finish(store, "a", home)
    finish(store, "b", home, status="planned", tasks=[], outputs=[])
    index = compile_index(RUN_ID, store, no_warning)
    assert [(job["host"], job["status"]) for job in index["jobs"]] == [
        ("a", "succeeded"),
        ("b", "unknown"),
        ("c", "unknown"),
    ]
    first = index["jobs"][0]
    assert (first["started"], first["finished"], first["exit_code"]) == (10, 14, 0)
    assert first["parameters"] == {"lr": "0.1"}


def test_a_run_started_elsewhere_has_the_jobs_seen_so_far(store: Store, home: Path) -> None:
    finish(store, "a", home)
    (job,) = compile_index(RUN_ID, store, no_warning)["jobs"]
    assert (job["id"], job["host"], job["status"]) == ("a-1", "a", "succeeded")


def test_a_retried_job_has_the_state_of_its_last_attempt(store: Store, home: Path) -> None:
    start(store, home, "a", "b")
    finish(store, "a", home, status="failed")
    finish(store, "b", home)
    again = {"host": "a", "job": "a-2", "attempt": 2}
    jobs = [again, {"host": "b", "job": "b-1"}]
    store.write(RUN_ID, RUN, {"run": RUN_ID, "jobs": jobs, "results": str(home)})

    def states() -> list[tuple[str, str, int]]:
        index = compile_index(RUN_ID, store, no_warning)
        return [(job["id"], job["status"], job["attempt"]) for job in index["jobs"]]

    assert states() == [("a-2", "unknown", 2), ("b-1", "succeeded", 1)]
    store.write(RUN_ID, "a-2", {"host": "a", "attempt": 2, "status": "succeeded"})
    assert states() == [("a-2", "succeeded", 2), ("b-1", "succeeded", 1)]


def test_a_damaged_record_is_reported_and_its_job_is_unknown(store: Store, home: Path) -> None:
    start(store, home, "a", "b")
    finish(store, "a", home)
    (store.root / RUN_ID / "a-1.json").write_text("{")
    warnings: list[str] = []
    index = compile_index(RUN_ID, store, warnings.append)
    assert [job["status"] for job in index["jobs"]] == ["unknown", "unknown"]
    assert len(warnings) == 1
    assert "a-1.json: damaged record" in warnings[0]


def test_only_runs_with_several_jobs_have_a_results_directory(store: Store, home: Path) -> None:
    assert results_directory(RUN_ID, store) is None
    start(store, home, "a")
    assert results_directory(RUN_ID, store) is None
    start(store, home, "a", "b")
    assert results_directory(RUN_ID, store) == home


def test_a_results_directory_can_be_moved(store: Store, home: Path, tmp_path: Path) -> None:
    start(store, home, "a", "b")
    finish(store, "a", home)
    write_index(RUN_ID, store, home, no_warning)
    assert json.loads((home / "results.json").read_text())["jobs"][0]["outputs"][0]["path"] == (
        "a/m.json"
    )
    moved = tmp_path / "elsewhere"
    shutil.move(home, moved)
    index = read_index(moved / "results.json")
    assert index["jobs"][0]["outputs"][0]["path"] == str(moved / "a/m.json")
    assert index["version"] == VERSION


def test_other_users_may_read_it_and_no_temporary_file_is_left(store: Store, home: Path) -> None:
    start(store, home, "a", "b")
    for _ in range(2):
        write_index(RUN_ID, store, home, no_warning)
    file, folder = sorted(home.iterdir(), key=Path.is_dir)
    assert (file.name, folder.name) == ("results.json", "attempts")
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444


def test_a_directory_that_cannot_be_written_is_reported(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="results cannot be indexed") as caught:
        write_index(RUN_ID, store, tmp_path / "file" / "results", no_warning)
    assert f"results show {RUN_ID}" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an index of results"),
        ("[]", "no version"),
        ("[" * 100_000, "not an index of results"),
        ('{"version": "1"}', "no version"),
        (f'{{"version": {VERSION + 1}}}', "newer mlcube-remote"),
        ('{"version": 1}', "damaged index"),
        ('{"version": 1, "jobs": [{}]}', "damaged index"),
        ('{"version": 1, "jobs": [{"outputs": [3]}]}', "damaged index"),
        ('{"version": 1, "jobs": [{"outputs": [{"path": 3}]}]}', "damaged index"),
    ],
)
def test_other_files_are_refused_with_their_path(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        read_index(file)
    assert str(file) in str(caught.value)


def finished(host: str) -> JobFinished:
    outcome = JobOutcome(host=host, platform="docker", status=Status.SUCCEEDED, seconds={})
    return JobFinished(host=host, at=0.0, outcome=outcome)


def test_the_index_is_written_when_the_first_job_ends(store: Store, home: Path) -> None:
    start(store, home, "a", "b")
    indexer = ResultsIndexer(store=store, run_id=RUN_ID, home=home)
    indexer.handle(Note(host="a", at=0.0, level=Level.INFO, text="x"))
    assert not home.exists()
    finish(store, "a", home)
    indexer.handle(finished("a"))
    finish(store, "b", home)
    indexer.handle(finished("b"))
    states = [job["status"] for job in read_index(home / "results.json")["jobs"]]
    assert states == ["succeeded", "unknown"], "written at most every two seconds"
    indexer.write()
    states = [job["status"] for job in read_index(home / "results.json")["jobs"]]
    assert states == ["succeeded", "succeeded"]


def test_an_index_that_takes_long_to_write_is_written_less_often(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 0.0, []

    def write(*_: object) -> None:
        nonlocal now
        now += 1.0
        written.append(now)

    monkeypatch.setattr(indexer_module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(indexer_module, "write_index", write)
    indexer = ResultsIndexer(store=store, run_id=RUN_ID, home=home)
    while now < 100:
        indexer.handle(finished("a"))
        now += 0.5
    assert len(written) == 5, "writing takes a twentieth of the time"


def test_an_index_that_cannot_be_written_does_not_end_the_run(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    indexer = ResultsIndexer(store=store, run_id=RUN_ID, home=tmp_path / "file" / "x")
    indexer.handle(finished("a"))
    indexer.write()
    assert len(indexer.problems) == 1
