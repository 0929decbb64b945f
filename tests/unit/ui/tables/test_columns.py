# SPDX-License-Identifier: Apache-2.0
"""Tables fit the terminal: columns are omitted or shortened by rank, and no row wraps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.ui.tables.columns import columns_of, format_table, shorten

HEADER = ["run", "state", "client"]
ROWS = [["long-name-of-a-run", "running", "ada@laptop"], ["b", "failed", "bob@desk"]]
FULL = [
    "run                 state    client",
    "long-name-of-a-run  running  ada@laptop",
    "b                   failed   bob@desk",
]


def table(width: int | None) -> list[str]:
    return format_table(HEADER, ROWS, width=width, spare=["client"], shrink=["run"]).splitlines()


@pytest.mark.parametrize("width", [None, 39, 200])
def test_a_table_that_fits_is_complete(width: int | None) -> None:
    assert table(width) == FULL


def test_a_spare_column_goes_first() -> None:
    assert table(38)[0] == "run                 state"


def test_then_a_column_is_shortened() -> None:
    assert table(22) == ["run            state", "long-name-of…  running", "b              failed"]


@given(
    st.lists(st.lists(st.text("ab", max_size=30), min_size=3, max_size=3), max_size=4),
    st.integers(1, 60),
)
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    text = format_table(HEADER, rows, width=width, spare=["client"], shrink=["run"])
    assert max(map(len, text.split("\n"))) <= width
    assert len(text.split("\n")) == len(rows) + 1


def test_wide_characters_take_two_columns() -> None:
    rows = [["学習率", "x"], ["b" * 6, "y"]]
    _, first, second = format_table(["name", "v"], rows).splitlines()
    assert [
        columns_of(line[: line.index(cell)]) for line, cell in ((first, "x"), (second, "y"))
    ] == [
        8,
        8,
    ]
    assert shorten("学習率", 5) == "学習…"
    assert shorten("学習率", 4) == "学…"
    assert shorten("学習率", 6) == "学習率"


@pytest.mark.parametrize("width", range(20, 60, 5))
def test_a_very_narrow_terminal_still_shows_the_last_column(width: int) -> None:
    rows = [["a" * 40, "b" * 40, "c" * 40, "1m"]]
    table = format_table(["one", "two", "three", "age"], rows, width=width, shrink=("one", "two"))
    lines = table.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].endswith("age")
    assert lines[1].split()[-1] == "1m"
