# SPDX-License-Identifier: Apache-2.0
"""Ranges of a sweep, and what is refused because it only looks like values."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.app.parse import parse_axes
from mlcube_remote.errors import UsageError
from mlcube_remote.plan.sweep_points import Sample, sweep_points
from mlcube_remote.plan.sweep_ranges import Range, expand_axis, parse_axis


def expand(text: str) -> tuple[str, ...]:
    ((name, values),) = parse_axes([text]).items()
    return expand_axis(name, values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=log:1e-4..1e-1:4", ("0.0001", "0.001", "0.01", "0.1")),
        ("lr=log:1e-6..1e-5:2", ("1.0e-06", "1.0e-05")),
        ("lr=lin:0..1:5", ("0", "0.25", "0.5", "0.75", "1")),
        ("lr=lin:-1..1:3", ("-1", "0", "1")),
        ("n=int:2..5", ("2", "3", "4", "5")),
        ("n=int:0..100:3", ("0", "50", "100")),
        ("n=int:1..2:5", ("1", "2")),
        ("lr=0.5,lin:1..2:2", ("0.5", "1", "2")),
        ("data=local:a..b,c:d", ("local:a..b", "c:d")),
        ("name=2024-01-01,v1.2..3", ("2024-01-01", "v1.2..3")),
        ("gpus=0:1:x,16:9", ("0:1:x", "16:9")),
    ],
)
def test_a_range_is_a_list_of_values(text: str, values: tuple[str, ...]) -> None:
    assert expand(text) == values


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("lr=0.1 0.2", "blanks between numbers", "--sweep lr=0.1,0.2"),
        ("lr=(0.1, 0.2)", "brackets around the values", "--sweep lr=0.1,0.2"),
        ("lr=0.1:0.5:0.1", "not a number", "--sweep lr=lin:0.1..0.5:5"),
        ("lr=0.1..0.5", "not a number", "--sweep lr=lin:0.1..0.5:5"),
        ("lr=0.1...0.5", "not a number", "--sweep lr=lin:0.1..0.5:5"),
        ("lr=log:1e-4..1e-1", "the number of values is missing", "lr=log:1e-4..1e-1:5"),
        ("lr=log:0..1:3", "must be above 0", "for example"),
        ("lr=lin:1..0:3", "the first end must be lower", "for example"),
        ("lr=lin:a..b:3", "its ends must be numbers", "for example"),
        ("lr=lin:0..inf:3", "its ends must be numbers", "for example"),
        ("lr=lin:0..1:1", "the number of values must be 2 or more", "for example"),
        ("lr=lin:0..1:x", "the number of values must be 2 or more", "for example"),
        ("lr=lin:0,1:5", "expected KIND:LOW..HIGH:COUNT", "for example"),
        ("n=int:0.5..3", "the ends of int: must be integers", "for example"),
        ("n=int:1..99999", "expected at most 10,000 values", "for example"),
    ],
)
def test_what_is_neither_a_value_nor_a_range_is_refused(text: str, problem: str, hint: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        expand(text)
    assert hint in str(caught.value.hint)


def test_lists_of_a_settings_file_keep_their_brackets() -> None:
    assert expand("layers=[64],[128]") == ("[64]", "[128]")


numbers = st.floats(1e-9, 1e9)


@given(numbers, numbers, st.sampled_from(["lin", "log"]), st.integers(2, 20))
def test_values_are_numbers_within_the_range(a: float, b: float, kind: str, count: int) -> None:
    low, high = sorted((a, b))
    values = Range(kind=kind, low=low, high=high, count=count).values()
    for text in values:
        number = yaml.safe_load(text)
        assert isinstance(number, (int, float)), "YAML reads it as a number, too"
        assert low * (1 - 1e-5) <= number <= high * (1 + 1e-5)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_axis("x", text.split(","))


AXES = parse_axes(["lr=log:1e-4..1e-1", "n=int:1..3", "flip=yes,no"])


def test_samples_are_different_and_repeat_with_their_seed() -> None:
    first = sweep_points(AXES, sample=Sample(count=50, seed=7))
    assert first == sweep_points(AXES, sample=Sample(count=50, seed=7))
    assert first != sweep_points(AXES, sample=Sample(count=50, seed=8))
    assert len({tuple(point.values.items()) for point in first}) == 50
    assert {point.values["n"] for point in first} == {"1", "2", "3"}
    assert {point.values["flip"] for point in first} == {"yes", "no"}
    rates = [float(point.values["lr"]) for point in first]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-1
    assert 10 < sum(rate < 10**-2.5 for rate in rates) < 40, "each power of ten is as likely"


def test_the_points_of_a_seed_never_change() -> None:
    (point,) = sweep_points(AXES, sample=Sample(count=1, seed=1))
    assert dict(point.values) == {"lr": "0.019558", "n": "2", "flip": "yes"}


def test_more_samples_than_combinations_are_refused() -> None:
    axes = parse_axes(["n=1,2"])
    assert len(sweep_points(axes, sample=Sample(count=2, seed=0))) == 2
    with pytest.raises(
        UsageError, match="--sample=3: a random choice has found only 2 combinations"
    ):
        sweep_points(axes, sample=Sample(count=3, seed=0))
