# SPDX-License-Identifier: Apache-2.0
"""Sizes and time spans, as people read and type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.formatting import (
    describe_value,
    parse_duration,
    readable_duration,
    readable_size,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (3_400_000, "3.4 MB"),
        (2.5e9, "2.5 GB"),
        (12e12, "12.0 TB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes_have_decimal_units(size: float, expected: str) -> None:
    assert readable_size(size) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (8, "8s"),
        (60, "1m"),
        (845, "14m 5s"),
        (3600, "1h"),
        (3605, "1h"),
        (183_600, "2d 3h"),
    ],
)
def test_time_spans_have_at_most_two_units(seconds: int, expected: str) -> None:
    assert readable_duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        (" 1.5 M ", 90),
        ("8h", 28_800),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1h30m", 5_400),
        ("2d 3h", 183_600),
        ("1w 1d 1h 1m 1s", 694_861),
        ("0h 5m", 300),
    ],
)
def test_time_spans_can_be_typed_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "soon", "0", "0.0h", "0h0m", "-1s", "1y", "30m1h", "1h1h", "1h30", "1.5h30m", "1 2"],
)
def test_other_texts_are_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time span such as 90s, 15m, 8h, 1h30m or 7d"):
        parse_duration(text)


@given(st.text(max_size=8))
def test_any_text_is_a_positive_time_span_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        (None, "nothing"),
        ("x", "'x'"),
        (5, "5"),
    ],
)
def test_values_are_described_for_messages(value: object, expected: str) -> None:
    assert describe_value(value) == expected
