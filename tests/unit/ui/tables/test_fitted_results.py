# SPDX-License-Identifier: Apache-2.0
"""Tables of results fit a terminal; several runs are in one table."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlcube_remote.errors import UsageError
from mlcube_remote.ui.tables.fitted import WIDTH, fit_table
from mlcube_remote.ui.tables.results import results_text
from mlcube_remote.ui.tables.run_list import best_problem, run_rows, runs_text


def job(host: str = "gpu01", status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    metrics = changes.pop("metrics", {"test_accuracy": 0.5, "loss": 1.5})
    output = {"task": "train", "name": "m", "metrics": metrics}
    return {
        "id": "x",
        "job": None,
        "host": host,
        "platform": "docker",
        "parameters": {},
        "status": status,
        "exit_code": 0,
        "error": None,
        "started": None,
        "finished": None,
        "tasks": [],
        "outputs": [output],
        **changes,
    }


def test_a_narrow_table_stays_as_it_is() -> None:
    assert fit_table(["a", "b"], [["1", "2"], ["1", "3"]]) == "a  b\n1  2\n1  3"


def test_constant_columns_of_a_wide_table_are_named_above() -> None:
    header = ["host", "lr", "note"]
    text = fit_table(header, [["a", "0.1", "x" * 70], ["b", "0.2", "x" * 70]])
    assert text == f"note={'x' * 70}\n\nhost  lr\na     0.1\nb     0.2"


def test_the_last_columns_of_a_table_that_is_still_too_wide_are_named_below() -> None:
    header = ["host", *(f"metric{n}" for n in range(20))]
    rows = [[name, *(f"{name}{n}" for n in range(20))] for name in "abc"]
    text = fit_table(header, rows)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.startswith("host  metric0  metric1")
    assert "not shown (--columns): " in text
    assert "metric19" in text


def test_a_sweep_of_many_numbers_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [
        job(
            f"gpu{n:02}",
            parameters={"lr": f"0.{n}", "optimizer": "adam"},
            metrics={f"validation.accuracy.{k}": n + k / 7 for k in range(12)},
        )
        for n in range(40)
    ]
    lines = results_text(jobs).splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert "optimizer=adam" in lines[0]


def test_columns_are_chosen_by_a_part_of_their_name() -> None:
    lines = results_text([job()], ["accuracy", "platform"]).splitlines()
    assert lines == ["host   test_accuracy  platform", "gpu01  0.5            docker"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("s", "--columns=s is ambiguous: "), ("nothing", "--columns=nothing: no such column")],
)
def test_a_name_that_fits_no_column_or_several_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        results_text([job()], [name])


def test_jobs_of_several_runs_name_their_run() -> None:
    jobs = [job(run="first"), job(run="second")]
    assert [line.split()[0] for line in results_text(jobs).splitlines()] == [
        "run",
        "first",
        "second",
    ]


def test_runs_are_listed_with_their_best_value() -> None:
    index = {
        "run": "261123-190233-k3j5h2g7x4q6w2ez",
        "created": "2026-11-23T19:02:33+00:00",
        "cube": {"name": "mnist"},
        "jobs": [
            job("gpu01", metrics={"accuracy": 0.5}),
            job("gpu02", "failed", metrics={"accuracy": 0.75}),
        ],
    }
    empty = {**index, "created": None, "cube": None, "jobs": []}
    rows = run_rows([index, empty], "-accuracy", {})
    assert [row["best"] for row in rows] == [0.75, None]
    text = runs_text(rows, "-accuracy")
    assert "gpu[01-02]" in text
    assert "1 succeeded, 1 failed" in text
    assert runs_text([], None) == "no run has a record on this machine"
    assert best_problem([index, empty], "-accuracy") is None
    assert best_problem([], "-accuracy") is None


def test_runs_are_listed_with_their_names_if_they_have_some() -> None:
    runs = [f"261123-190233-{letter * 16}" for letter in "ab"]
    indexes = [{"run": run, "created": None, "cube": None, "jobs": [job()]} for run in runs]
    rows = run_rows(indexes, None, {runs[0]: "sweep-a", runs[1]: ""})
    assert [row["name"] for row in rows] == ["sweep-a", None]
    for width in (None, 80):
        header, named, other = runs_text(rows, None, width=width).splitlines()
        assert header.split()[:2] == ["run", "name"]
        assert named.split()[:2] == ["a" * 8, "sweep-a"]
        assert other.split()[:2] == ["b" * 8, "gpu01"]
    assert "name" not in runs_text(run_rows(indexes, None, {}), None)


def test_a_best_value_that_no_run_shows_is_explained() -> None:
    index = {"jobs": [job(metrics={"train_accuracy": 0.5, "test_accuracy": 0.25})]}
    assert best_problem([index], "-accuracy") == (
        "--best=-accuracy: 1 run has several such columns: train_accuracy, test_accuracy"
    )
    assert best_problem([index], "loss") == "--best=loss: no run has such a column"
    assert best_problem([index], "-test_accuracy") is None


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2026-11-23T19:02:33+00:00", "2026-11-24 04:02"),
        ("2026-11-23T19:02:33", "2026-11-23 19:02"),
        ("yesterday", "yesterday"),
    ],
)
def test_runs_are_listed_with_the_time_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, created: str, shown: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        index: dict[str, Any] = {"created": created, "cube": None, "jobs": [], "run": "k3j5"}
        assert shown in runs_text(run_rows([index], None, {}), None)
    finally:
        monkeypatch.undo()
        time.tzset()
