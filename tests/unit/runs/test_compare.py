# SPDX-License-Identifier: Apache-2.0
"""What differs between runs and between attempts."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote.runs.compare import compare_outputs, compare_runs
from mlcube_remote.runs.manifests import ListedFile, Manifests, digest_of

FILES = [ListedFile(b"a.py", 1, "1" * 64), ListedFile(b"b.py", 1, "2" * 64)]
CHANGED = [FILES[0], ListedFile(b"b.py", 1, "3" * 64), ListedFile(b"c.py", 1, "4" * 64)]


def attempt(host: str = "gpu01", number: int = 1, **changes: Any) -> dict[str, Any]:
    output = {
        "task": "train",
        "name": "m",
        "sha256": changes.pop("output", "0" * 64),
        "metrics": changes.pop("metrics", {"accuracy": 0.5}),
    }
    cube = {"sha256": changes.pop("cube", digest_of(FILES)), "git": None}
    return {
        "id": f"{host}.{number}",
        "job": None,
        "host": host,
        "attempt": number,
        "platform": "docker",
        "parameters": {"lr": "1"},
        "status": "succeeded",
        "exit_code": 0,
        "outputs": [output],
        "provenance": {"cube": cube, "host": {"kernel": "6.1"}},
        **changes,
    }


def keys(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(item.about, item.key, item.note) for item in compare_runs(before, after)]


def test_equal_runs_have_no_difference() -> None:
    assert keys([attempt()], [attempt()]) == []


def test_only_last_attempts_are_compared() -> None:
    first = attempt(status="failed", exit_code=1)
    assert keys([first, attempt(number=2)], [attempt()]) == []


def test_files_of_the_cube_that_differ_are_named() -> None:
    for files in (FILES, CHANGED):
        Manifests().write(digest_of(files), files)
    found = keys([attempt()], [attempt(cube=digest_of(CHANGED))])
    assert found == [("cube", "sha256", "b.py, c.py")]


def test_numbers_differ_by_an_amount() -> None:
    other = attempt(metrics={"accuracy": 0.6}, output="9" * 64)
    assert keys([attempt()], [other]) == [
        ("outputs", "train.m", ""),
        ("outputs", "train.m: accuracy", "+0.1 (+20 %)"),
    ]


def test_runs_with_one_job_each_are_compared_whatever_their_hosts() -> None:
    assert keys([attempt("a")], [attempt("b")]) == [("host", "name", "")]


def test_a_job_that_only_one_run_has_is_named() -> None:
    found = compare_runs([attempt("a"), attempt("b")], [attempt("a")])
    assert [(item.job, item.key, item.after) for item in found] == [("b", "job", None)]


def test_records_without_provenance_are_compared() -> None:
    old = {**attempt(), "provenance": None}
    assert ("cube", "sha256", "") in keys([old], [attempt()])


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        ({"a": 0}, {"a": 1}, "a +1"),
        ({"a": -2}, {"a": -1}, "a +1 (+50 %)"),
        ({"a": 1}, {}, "a disappeared"),
        ({}, {"a": 1}, "a appeared"),
        ({}, {}, ""),
    ],
)
def test_outputs_of_attempts_are_compared(before: Any, after: Any, note: str) -> None:
    (same,) = compare_outputs(attempt(), attempt())
    assert (same.is_identical, same.note) == (True, "")
    (found,) = compare_outputs(attempt(metrics=before), attempt(metrics=after, output="9" * 64))
    assert (found.is_identical, found.note) == (False, note)
