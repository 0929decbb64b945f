# SPDX-License-Identifier: Apache-2.0
"""How users address runs and jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import UsageError
from mlcube_remote.runs.addresses import RunAddress, check_run_name, match_jobs, parse_address
from mlcube_remote.runs.store import RUN, Store

OLD = "261123-190233-k3j5h2g7x4q6w2ez"
NEW = "261124-190233-aaaabbbbccccdddd"
JOBS = {"01": "gpu01", "02": "gpu02", "03": "gpu01"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.write(OLD, RUN, {"name": "sweep-a"})
    store.write(NEW, RUN, {})
    return store


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("261123", [OLD]),
        ("k3", [OLD]),
        ("w2ez", [OLD]),
        (OLD, [OLD]),
        ("last", [NEW]),
        ("sweep-a", [OLD]),
        ("sweep", []),
        ("26", [NEW, OLD]),
    ],
)
def test_a_run_has_an_id_a_name_and_may_be_the_last(
    store: Store, text: str, found: list[str]
) -> None:
    assert store.matching(text) == found


def test_the_newest_run_has_the_name(store: Store) -> None:
    store.write(NEW, RUN, {"name": "sweep-a"})
    assert store.matching("sweep-a") == [NEW]


def test_a_name_comes_before_a_part_of_an_id(store: Store) -> None:
    store.write(NEW, RUN, {"name": "k3"})
    assert store.matching("k3") == [NEW]


def test_the_last_run_was_started_here_and_not_on_another_machine(store: Store) -> None:
    store.write("261125-190233-" + "e" * 16, "job", {})
    assert store.matching("last") == [NEW]


def test_a_damaged_record_hides_no_other_name(store: Store) -> None:
    (store.root / NEW / "run.json").write_text("{")
    assert store.matching("sweep-a") == [OLD]


@pytest.mark.parametrize("name", ["sweep-a", "A.1_b", "x"])
def test_names_start_with_a_letter(name: str) -> None:
    assert check_run_name(name) == name


@pytest.mark.parametrize("name", ["last", "1", "a/b", "a b", "", "-x", "a" * 65, "ä", "a\n"])
def test_what_looks_like_something_else_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a run"):
        check_run_name(name)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("last", RunAddress(run="last")),
        ("last/03", RunAddress(run="last", jobs=("03",))),
    ],
)
def test_an_address_is_a_run_and_maybe_a_job(text: str, address: RunAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "/03", "last/"])
def test_half_an_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected RUN or RUN/JOB"):
        parse_address(text)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["03"], {"03"}),
        (["3"], {"03"}),
        (["gpu01"], {"01", "03"}),
        (["1,gpu02"], {"01", "02"}),
        (["[02-03]"], {"02", "03"}),
    ],
)
def test_jobs_are_named_numbered_or_on_a_host(patterns: list[str], names: set[str]) -> None:
    assert match_jobs(OLD, patterns, JOBS) == names


@pytest.mark.parametrize("pattern", ["4", "gpu", "gpu03", "²"])
def test_a_pattern_without_a_job_names_those_that_exist(pattern: str) -> None:
    with pytest.raises(UsageError, match="has no job") as caught:
        match_jobs(OLD, [pattern], JOBS)
    assert caught.value.hint == "its jobs: 01, 02, 03"


def test_a_malformed_range_is_refused() -> None:
    with pytest.raises(UsageError, match="--job: "):
        match_jobs(OLD, ["[01"], JOBS)
