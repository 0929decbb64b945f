# SPDX-License-Identifier: Apache-2.0
"""Text from hosts is printed as lines without control characters."""

from __future__ import annotations

import itertools
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.ui.text import MAX_LINE, LineAssembler, sanitise


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï\ttab", "plain ünï\ttab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;ZXZpbA==\x07after", "after"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b]0;unended", ""),
        ("\x1b]0;unended\nnext line", "\nnext line"),
        ("\u061cevil", "\\u061cevil"),
        ("\udcc2\udc9b31m", "\\xc2\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("\x9b31mred", "red"),
        ("bell\x07", "bell\\x07"),
        ("a\rb", "a\\x0db"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\xff"),
        ("\x1b", ""),
        ("two\nlines", "two\nlines"),
    ],
)
def test_sanitise_removes_what_controls_a_terminal(text: str, shown: str) -> None:
    assert sanitise(text) == shown


@given(
    st.text(st.characters(exclude_categories=[]) | st.sampled_from("\x1b\x9b[]m;\x07\udcc2\udc9b"))
)
def test_sanitise_leaves_no_control_character(text: str) -> None:
    left = sanitise(text)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in left)
    assert not any(0x7F <= ord(c) < 0xA0 for c in left)
    left.encode()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_lines_do_not_depend_on_the_size_of_pieces(data: bytes, cuts: list[int]) -> None:
    at_once = LineAssembler()
    expected = at_once.feed(data) + at_once.finish()
    assembler = LineAssembler()
    found: list[str] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += assembler.feed(data[start:end])
    assert found + assembler.finish() == expected


@given(st.text(st.sampled_from("ab\r\né"), max_size=80), st.lists(st.integers(0, 90), max_size=9))
def test_long_lines_are_cut_independent_of_the_size_of_pieces(text: str, cuts: list[int]) -> None:
    data = text.encode()
    with mock.patch("mlcube_remote.ui.text.MAX_LINE", 7):
        at_once = LineAssembler()
        expected = at_once.feed(data) + at_once.finish()
        assembler = LineAssembler()
        found: list[str] = []
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            found += assembler.feed(data[start:end])
        found += assembler.finish()
    assert found == expected
    assert all(len(line) <= 7 for line in found)


def test_a_long_line_that_ends_with_crlf_is_not_lost() -> None:
    lines = LineAssembler()
    shown = [*lines.feed(b"x" * (MAX_LINE + 9) + b"\r"), *lines.feed(b"\n")]
    assert "".join(shown) == "x" * (MAX_LINE + 9)


def test_the_unfinished_line_can_be_read() -> None:
    lines = LineAssembler()
    lines.feed(b"done\n1%\r2%\r")
    assert lines.unfinished == "2%"
    lines.feed(b"3")
    assert lines.unfinished == "3"
    lines.feed(b"\n")
    assert lines.unfinished == ""


def test_only_the_last_state_of_a_progress_bar_is_kept() -> None:
    lines = LineAssembler()
    assert lines.feed(b"10%\r50%\r100%\r\ndone\nrest") == ["100%", "done"]
    assert lines.finish() == ["rest"]
    assert lines.finish() == []


def test_a_very_long_line_is_returned_in_pieces() -> None:
    lines = LineAssembler()
    shown = [line for _ in range(10) for line in lines.feed(b"x" * MAX_LINE)]
    assert sum(map(len, shown)) + sum(map(len, lines.finish())) == 10 * MAX_LINE
    bar = LineAssembler()
    for index in range(100):
        assert bar.feed(b"\r" + b"%d" % index + b"=" * 2000) == []
    assert bar.finish()[0].startswith("99=")
