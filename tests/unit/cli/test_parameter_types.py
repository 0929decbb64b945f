# SPDX-License-Identifier: Apache-2.0
"""Types of option values."""

from __future__ import annotations

from datetime import datetime

import click
import pytest

from mlcube_remote.cli.option_groups import group
from mlcube_remote.cli.parameter_types import Duration, Notification, SinceTime
from mlcube_remote.jobs.since import Since


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("8h", 28_800), ("7d", 604_800), (" 2 W ", 1_209_600)],
)
def test_a_time_span_is_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "1y", "soon", "30m1h", "nan", "1e3"])
def test_a_wrong_time_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a time span such as"):
        Duration().convert(text, None, None)


def test_two_options_of_a_command_cannot_share_a_name() -> None:
    first = group("one", dict, click.option("--a", "name"))
    second = group("two", dict, click.option("--b", "name"))
    with pytest.raises(AssertionError, match="name"):
        first(second(lambda: 0))


NOON = 1_795_953_600


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("15m", Since(ago=900.0)),
        ("2h", Since(ago=7200.0)),
        ("2026-11-29T12:00:00Z", Since(at=NOON)),
        ("2026-11-29T13:00+01:00", Since(at=NOON)),
        ("2026-11-29 12:00", Since(at=datetime(2026, 11, 29, 12).timestamp())),  # noqa: DTZ001
        ("2026-11-29", Since(at=datetime(2026, 11, 29).timestamp())),  # noqa: DTZ001
    ],
)
def test_output_is_shown_since_a_time_or_a_time_span(text: str, since: Since) -> None:
    assert SinceTime().convert(text, None, None) == since


@pytest.mark.parametrize("text", ["", "yesterday", "0", "2026-13-01", "Z", "-5m"])
def test_other_times_are_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 2026-11-28"):
        SinceTime().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "'x", "/no/such/program now"])
def test_a_notification_that_cannot_be_run_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Notification().convert(text, None, None)
    assert Notification().convert("desktop", None, None) == "desktop"
