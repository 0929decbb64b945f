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
