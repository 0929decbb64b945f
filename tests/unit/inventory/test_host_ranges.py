# SPDX-License-Identifier: Apache-2.0
"""Ranges in host names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.inventory.host_ranges import expand, split_commas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[1,3,5-7]", ["n1", "n3", "n5", "n6", "n7"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("n[0-20:10]", ["n0", "n10", "n20"]),
        ("plain", ["plain"]),
    ],
)
def test_ranges_expand(text: str, expected: list[str]) -> None:
    assert list(expand(text)) == expected


@given(st.integers(0, 500), st.integers(0, 80), st.integers(1, 4))
def test_a_range_has_every_number_once_in_order(first: int, more: int, width: int) -> None:
    last = first + more
    found = expand(f"n[{first:0{width}d}-{last:0{width}d}]")
    assert [int(name[1:]) for name in found] == list(range(first, last + 1))
    assert len(set(found)) == len(found)


@given(st.lists(st.from_regex(r"[a-z]{1,4}(\[[0-9],[0-9]\])?", fullmatch=True), max_size=5))
def test_commas_in_brackets_do_not_split(parts: list[str]) -> None:
    assert split_commas(",".join(parts)) == parts
