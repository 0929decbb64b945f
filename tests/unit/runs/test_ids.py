# SPDX-License-Identifier: Apache-2.0
"""The ids of runs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from mlcube_remote.runs import ids
from mlcube_remote.runs.ids import is_run_id, new_run_id

START = datetime(2026, 11, 28, 19, 2, 33, tzinfo=timezone.utc)


class Clock(datetime):
    """A clock that shows what a test has set."""

    shown = START

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override] # one zone is enough
        assert tz is timezone.utc
        return cls.shown


def test_sorted_ids_are_in_the_order_of_time_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ids, "datetime", Clock)
    found = []
    for milliseconds in (*range(0, 1000, 2), 1000):
        Clock.shown = START + timedelta(milliseconds=milliseconds)
        found.append(new_run_id())
    assert found == sorted(found)
    assert found[0].startswith("261128-190233-22")
    assert found[-2].startswith("261128-190233-z")
    assert found[-1].startswith("261128-190234-22")
    assert all(map(is_run_id, found))


def test_ids_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "datetime", Clock)
    assert len({new_run_id() for _ in range(1000)}) == 1000
