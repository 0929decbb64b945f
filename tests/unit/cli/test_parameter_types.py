# SPDX-License-Identifier: Apache-2.0
"""Types of option values."""

from __future__ import annotations

import click
import pytest

from mlcube_remote.cli.option_groups import group
from mlcube_remote.cli.parameter_types import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("8h", 28_800), ("7d", 604_800), (" 2 W ", 1_209_600)],
)
def test_a_time_span_is_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "1y", "soon", "1h30m", "nan", "1e3"])
def test_a_wrong_time_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a time span such as"):
        Duration().convert(text, None, None)


def test_two_options_of_a_command_cannot_share_a_name() -> None:
    first = group("one", dict, click.option("--a", "name"))
    second = group("two", dict, click.option("--b", "name"))
    with pytest.raises(AssertionError, match="name"):
        first(second(lambda: 0))
