# SPDX-License-Identifier: Apache-2.0
"""Sweeps and shards: which jobs they give, in which order, and what is rejected."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.app.parse import parse_axes
from mlcube_remote.errors import UsageError
from mlcube_remote.plan.sweep_points import SweepPoint, parse_shard, sweep_points


def parse_sweep(options: list[str], file: Path | None = None) -> tuple[SweepPoint, ...]:
    return sweep_points(parse_axes(options), file)


def values(points: tuple[SweepPoint, ...]) -> list[dict[str, str]]:
    return [dict(point.values) for point in points]


def names(points: tuple[SweepPoint, ...]) -> list[str]:
    return [point.name for point in points]


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return tmp_path / "grid.yaml"


def test_every_combination_is_a_job_and_the_last_name_changes_fastest() -> None:
    points = parse_sweep(["lr=0.1,0.01", "batch = 32, 64"])
    assert names(points) == ["01", "02", "03", "04"]
    assert values(points) == [
        {"lr": "0.1", "batch": "32"},
        {"lr": "0.1", "batch": "64"},
        {"lr": "0.01", "batch": "32"},
        {"lr": "0.01", "batch": "64"},
    ]


def test_names_sort_like_numbers() -> None:
    points = parse_sweep([f"x={','.join(map(str, range(1000)))}"])
    assert names(points) == sorted(names(points))
    assert (points[0].name, points[-1].name) == ("0001", "1000")


def test_values_of_a_file_are_kept_as_written(grid: Path) -> None:
    grid.write_text("lr: [1e-3, 0.10, 022]\nflip: [yes, no]\nseed: 7\n")
    assert values(parse_sweep([], grid))[:3] == [
        {"lr": "1e-3", "flip": "yes", "seed": "7"},
        {"lr": "1e-3", "flip": "no", "seed": "7"},
        {"lr": "0.10", "flip": "yes", "seed": "7"},
    ]


def test_a_file_may_list_its_points(grid: Path) -> None:
    grid.write_text("- {lr: 0.1, batch: 32}\n- {batch: 64, lr: 0.01}\n")
    points = parse_sweep(["seed=1,2"], grid)
    assert values(points) == [
        {"lr": "0.1", "batch": "32", "seed": "1"},
        {"lr": "0.1", "batch": "32", "seed": "2"},
        {"batch": "64", "lr": "0.01", "seed": "1"},
        {"batch": "64", "lr": "0.01", "seed": "2"},
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lr"], "--sweep lr: expected NAME=VALUE,VALUE"),
        (["=1,2"], "expected NAME=VALUE,VALUE"),
        (["lr="], "--sweep lr=: no value"),
        (["lr=1,,2"], "--sweep lr=1,,2: an empty value"),
        (["lr=1,2,1"], "--sweep lr: 1 is listed twice"),
        (["lr=1", "lr=2"], "--sweep lr: is given twice"),
        ([f"{name}={','.join(map(str, range(30)))}" for name in "abc"], "27,000 points"),
    ],
)
def test_invalid_options_are_rejected(options: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_sweep(options)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "grid.yaml:1:1: expected names with lists"),
        ("7", "grid.yaml:1:1: expected names with lists"),
        ("{}", "grid.yaml:1:1: expected names with lists"),
        ("[]", "grid.yaml:1:1: expected names with lists"),
        ("lr: []", "grid.yaml:1:1: lr: the list is empty"),
        ("lr:\n- 1\n- {a: 1}", "grid.yaml:3:3: lr: expected a value, got a mapping"),
        ("lr:\n- 1\n-", "grid.yaml:3:2: lr: expected a value, got nothing"),
        ("lr: [[1]]", "grid.yaml:1:6: lr: expected a value, got a list"),
        (
            'lr: ["log:1e-4..1e-1:3"]',
            "1:6: lr: ranges are for the command line: --sweep lr=log:1e-4..1e-1:3",
        ),
        ("1: [2]", "grid.yaml:1:1: expected a name, got 1"),
        ("lr: [1, 2, 1]", "grid.yaml:1:12: lr: 1 is listed twice"),
        ("lr: [1]\nlr: [2]", "grid.yaml:2:1: duplicate key 'lr'"),
        ("- {lr: 1}\n- 2", "grid.yaml:2:3: expected a point"),
        ("- {lr: 1}\n- {}", "grid.yaml:2:3: expected a point"),
        ("- {lr: 1}\n- {lr: 2, b: 3}", "grid.yaml:2:3: every point has the same names"),
        (
            "- {a: 1, b: 2}\n- {b: 3, a: 1}\n- {b: 2, a: 1}",
            "3:3: this point is listed twice (first on",
        ),
    ],
)
def test_invalid_files_are_rejected_with_their_line(grid: Path, text: str, message: str) -> None:
    grid.write_text(text)
    with pytest.raises(UsageError) as caught:
        parse_sweep([], grid)
    assert message in caught.value.message


def test_a_name_is_in_the_options_or_in_the_file(grid: Path) -> None:
    grid.write_text("lr: [1, 2]")
    with pytest.raises(UsageError, match=r"--sweep lr: .*grid\.yaml has values for lr, too"):
        parse_sweep(["lr=3"], grid)
    with pytest.raises(UsageError, match="no such file"):
        parse_sweep([], grid.with_name("gird.yaml"))


# 0..1 is refused as a value, because it looks like a range.
_TEXT = st.text("abc0123.-_/", min_size=1, max_size=5).filter(lambda text: ".." not in text)
_AXES = st.dictionaries(_TEXT, st.lists(_TEXT, min_size=1, max_size=4, unique=True), max_size=3)


@given(_AXES)
def test_options_and_file_give_the_same_combinations_each_once(
    tmp_path_factory: pytest.TempPathFactory, axes: dict[str, list[str]]
) -> None:
    points = parse_sweep([f"{name}={','.join(given)}" for name, given in axes.items()])
    assert [tuple(point.values.values()) for point in points] == [
        *itertools.product(*axes.values())
    ]
    assert len(set(names(points))) == len(points)
    if axes:
        grid = tmp_path_factory.mktemp("grid") / "grid.yaml"
        grid.write_text(yaml.safe_dump(axes, sort_keys=False, default_style='"'))
        assert parse_sweep([], grid) == points
        grid.write_text(yaml.safe_dump(values(points), sort_keys=False, default_style='"'))
        assert parse_sweep([], grid) == points


def test_a_list_is_split_into_a_piece_per_host(tmp_path: Path) -> None:
    points = parse_shard("data=a,b,c,d,e", 2)
    assert names(points) == ["01", "02"]
    assert [point.items["data"] for point in points] == [("a", "b"), ("c", "d", "e")]
    assert [point.values["data"] for point in points] == ["1-2 of 5", "3-5 of 5"]
    (tmp_path / "list").write_text("a\n\n  b c\n")
    points = parse_shard(f"data={tmp_path}/list", 7)
    assert [point.items["data"] for point in points] == [("a",), ("b c",)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data", "--shard data: expected NAME=FILE or NAME=ITEM,ITEM"),
        ("=a,b", "expected NAME=FILE"),
        ("data=", "expected NAME=FILE"),
        ("data=files.txt", "--shard data=files.txt: no such file"),
        ("data=,", "the list is empty"),
        ("data=a\0,b", "NUL"),
    ],
)
def test_invalid_lists_are_rejected(option: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_shard(option, 2)
    assert message in caught.value.message


def test_a_list_that_is_not_text_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UsageError, match="cannot be read"):
        parse_shard(f"data={tmp_path}/list", 2)


@given(st.lists(_TEXT, min_size=2, max_size=50), st.integers(1, 60))
def test_shards_have_every_item_once_in_order_and_almost_equal_sizes(
    items: list[str], hosts: int
) -> None:
    pieces = [point.items["x"] for point in parse_shard(f"x={','.join(items)}", hosts)]
    assert [item for piece in pieces for item in piece] == items
    sizes = [len(piece) for piece in pieces]
    assert len(pieces) == min(hosts, len(items))
    assert max(sizes) - min(sizes) <= 1
