# SPDX-License-Identifier: Apache-2.0
"""The texts that users type."""

from __future__ import annotations

import pytest

from mlcube_remote.app.parse import parse_axes, parse_parameters, split_names
from mlcube_remote.errors import UsageError


def test_names_may_have_commas_between() -> None:
    assert split_names(["a, b,", "c"]) == ("a", "b", "c")
    with pytest.raises(UsageError, match="--task: a is named twice"):
        split_names(["a,b", "a"])
    with pytest.raises(UsageError, match="--allow-missing: a is named twice"):
        split_names(["a", "a"], "--allow-missing")


def test_a_parameter_is_everything_after_the_first_equals_sign() -> None:
    assert parse_parameters(["a=b=c", "d=", "a=e"]) == {"a": "e", "d": ""}
    for argument in ("loose", "=x"):
        with pytest.raises(UsageError, match=f"unexpected argument '{argument}'"):
            parse_parameters([argument])


def test_an_axis_has_a_name_and_values() -> None:
    assert parse_axes(["lr=0.1,0.01", "batch = 32 , 64", "x="]) == {
        "lr": ("0.1", "0.01"),
        "batch": ("32", "64"),
        "x": ("",),
    }
    with pytest.raises(UsageError, match="--sweep lr: is given twice"):
        parse_axes(["lr=1", "lr=2"])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[64,64],[32]", ("[64,64]", "[32]")),
        ("[[1,2],[3]], [4]", ("[[1,2],[3]]", "[4]")),
        ('["a]",2],3', ('["a]",2]', "3")),
        ("{a: 1, b: 2},{}", ("{a: 1, b: 2}", "{}")),
        ('"a, b",c', ('"a, b"', "c")),
        ("'it''s, so',x", ("'it''s, so'", "x")),
        (r'"a\",b",c', (r'"a\",b"', "c")),
        ('"",x', ('""', "x")),
        ("it's,isn't", ("it's", "isn't")),
        ('5",6"', ('5"', '6"')),
        ('"a,b', ('"a', "b")),
        ('"a"b,c', ('"a"b', "c")),
        ("[1,2", ("[1", "2")),
        ("[1,2]x,3", ("[1", "2]x", "3")),
        ("]1,[2", ("]1", "[2")),
        ("local:[a],b", ("local:[a]", "b")),
    ],
)
def test_a_comma_in_quotes_or_brackets_separates_no_values(
    text: str, values: tuple[str, ...]
) -> None:
    assert parse_axes([f"x={text}"]) == {"x": values}
