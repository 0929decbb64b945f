# SPDX-License-Identifier: Apache-2.0
"""Results as tables and CSV: columns, order, and no formulas."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import UsageError
from mlcube_remote.ui.tables.results import job_columns, results_csv, results_text, sort_jobs

Job = dict[str, Any]


def job(host: str = "a", outputs: Any = (), **changes: Any) -> Job:
    return {
        "id": f"{host}-1",
        "job": None,
        "host": host,
        "platform": "docker",
        "parameters": {},
        "status": "succeeded",
        "exit_code": 0,
        "error": None,
        "started": 0,
        "finished": 60,
        "tasks": [{"task": "train", "reason": "", "seconds": 60.0}],
        "outputs": list(outputs),
        **changes,
    }


def output(numbers: dict[str, Any], name: str = "metrics", task: str = "train") -> Job:
    return {"task": task, "name": name, "metrics": numbers}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def metric_names(*jobs: Job) -> list[str]:
    """Return the names of the columns that are not always there."""
    return [column.name for column in job_columns(jobs)][9:]


def test_the_table_has_a_row_per_job_and_a_column_per_metric() -> None:
    jobs = [
        job("a", [output({"accuracy": 0.5, "test.loss": 2})], parameters={"lr": "0.1"}),
        job("b", [output({"accuracy": 0.9712345678})], parameters={"lr": "0.01"}),
        job(
            "c",
            status="failed",
            exit_code=3,
            tasks=[{"task": "train", "reason": "out of memory", "seconds": 2.0}],
        ),
        job("d", status="not-started", exit_code=120, tasks=[], error={"message": "d: no route"}),
    ]
    assert results_text(jobs).splitlines() == [
        "host  lr    result       exit  seconds  accuracy  test.loss",
        "a     0.1   succeeded    0     60       0.5       2",
        "b     0.01  succeeded    0     60       0.971235",
        "c           failed       3     2",
        "d           not-started  120",
        "",
        "c: train: out of memory",
        "d: no route",
    ]


def test_jobs_that_share_a_host_have_names() -> None:
    jobs = [job("a", job="01", tasks=[{"task": "t", "reason": "odd"}]), job("a", job="02")]
    table = results_text(jobs)
    assert table.startswith("job  host  result")
    assert table.endswith("01@a: t: odd")


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([output({"a": 1, "b": 1})], ["a", "b"]),
        ([output({"a": 1}), output({"a": 1, "b": 1}, "scores")], ["metrics.a", "scores.a", "b"]),
        (
            [output({"a": 1}), output({"a": 1}, task="test")],
            ["train.metrics.a", "test.metrics.a"],
        ),
        ([output({"host": 1, "exit": 2})], ["metrics.host", "metrics.exit"]),
    ],
)
def test_a_metric_has_the_shortest_unambiguous_name(
    outputs: list[Job], expected: list[str]
) -> None:
    assert metric_names(job(outputs=outputs)) == expected


def test_parameters_and_metrics_have_different_names() -> None:
    one = job(outputs=[output({"lr": 3})], parameters={"lr": "0.1", "host": "x"})
    (row,) = read(results_csv([one]))
    assert (row["lr"], row["metrics.lr"], row["parameter.host"], row["host"]) == (
        "0.1",
        "3",
        "x",
        "a",
    )


def test_csv_has_all_columns_in_full_precision() -> None:
    one = job(outputs=[output({"x": 0.1234567890123, "y": -5})], finished=1795461442)
    (row,) = read(results_csv([one]))
    assert row == {
        "id": "a-1",
        "job": "",
        "host": "a",
        "platform": "docker",
        "result": "succeeded",
        "exit": "0",
        "started": "1970-01-01T00:00:00Z",
        "finished": "2026-11-23T19:17:22Z",
        "seconds": "60.0",
        "x": "0.1234567890123",
        "y": "-5",
    }


@pytest.mark.parametrize("clock", [None, -1, 10**20, "soon"])
def test_impossible_times_are_omitted(clock: Any) -> None:
    (row,) = read(results_csv([job(started=clock)]))
    assert row["started"] == ""


@pytest.mark.parametrize(
    "evil",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n=1", "\uff1d1"],
)
def test_spreadsheets_find_no_formula(evil: str) -> None:
    one = job(evil, [output({evil: 1})], parameters={evil: evil}, status=evil)
    rows = list(csv.reader(io.StringIO(results_csv([one]))))
    for cell in (cell for row in rows for cell in row):
        assert not re.match(r"\s*[=+@\uff1d]|\s*-\D|-2\+", cell), cell


@pytest.mark.parametrize("number", ["-0.5", "+1e-3", "0.1", "-3", ".5"])
def test_numeric_parameters_are_not_quoted(number: str) -> None:
    (row,) = read(results_csv([job(parameters={"lr": number})]))
    assert row["lr"] == number


@given(st.text(), st.text())
def test_text_from_hosts_does_not_break_rows_and_columns(name: str, text: str) -> None:
    one = job(text, [output({name: 1})], parameters={"p": text})
    table = results_csv([one])
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert len(rows) == 2
    assert len(rows[0]) == len(rows[1])
    for shown in (table, results_text([one])):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", shown)
    assert len(results_text([one]).splitlines()[0:1]) == 1


TRIALS = [
    job("a", [output({"accuracy": 0.5})], parameters={"lr": "0.1"}),
    job("b", status="failed", parameters={"lr": "10"}),
    job("c", [output({"accuracy": 0.9})], parameters={"lr": "9"}),
    job("d", [output({"accuracy": -2})], parameters={"lr": "auto"}),
]


@pytest.mark.parametrize(
    ("by", "hosts"),
    [
        (None, "abcd"),
        ("accuracy", "dacb"),
        ("-accuracy", "cadb"),
        ("lr", "acbd"),
        ("-host", "dcba"),
        ("result", "bacd"),
    ],
)
def test_jobs_are_sorted_by_any_column(by: str | None, hosts: str) -> None:
    assert "".join(each["host"] for each in sort_jobs(TRIALS, by)) == hosts


def test_the_last_part_of_a_column_name_is_enough_if_unambiguous() -> None:
    jobs = [job("a", [output({"test.loss": 2})]), job("b", [output({"test.loss": 1})])]
    assert [each["host"] for each in sort_jobs(jobs, "loss")] == ["b", "a"]
    jobs[0]["outputs"].append(output({"train.loss": 2}))
    with pytest.raises(UsageError, match=r"--sort=loss is ambiguous: test\.loss, train\.loss"):
        sort_jobs(jobs, "loss")


def test_the_error_for_an_unknown_column_lists_the_columns() -> None:
    with pytest.raises(UsageError, match="--sort=acuracy: no such column") as caught:
        sort_jobs(TRIALS, "-acuracy")
    assert "accuracy" in str(caught.value.hint)


def test_a_wide_table_keeps_the_column_that_it_is_sorted_by() -> None:
    numbers = {f"metric_with_a_long_name_{number}": number for number in range(9)}
    jobs = [job(host, [output({**numbers, "gflops": at})]) for at, host in enumerate("ab")]
    assert "gflops" not in results_text(jobs).splitlines()[0]
    lines = results_text(sort_jobs(jobs, "-gflops"), sorted_by="-gflops").splitlines()
    assert all(len(line) <= 80 for line in lines)
    at = next(number for number, line in enumerate(lines) if line.endswith("gflops"))
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["b", "a"]
