# SPDX-License-Identifier: Apache-2.0
"""Which run a command without RUN is about."""

from __future__ import annotations

import pytest

from mlcube_remote.app import latest_run
from mlcube_remote.app.latest_run import choose_run
from mlcube_remote.app.options import Sensible
from mlcube_remote.errors import UsageError
from mlcube_remote.runs.store import RUN, Store

OLD, NEW = "261123-190233-" + "a" * 16, "261124-190233-" + "b" * 16


def record(run_id: str, status: str) -> None:
    document = {"created": "2026-11-23T19:02:33+00:00", "name": "sweep-a"}
    Store().write(run_id, RUN, document)
    Store().write(run_id, f"{run_id}-gpu", {"status": status})


@pytest.mark.parametrize(
    ("old", "new", "sensible", "chosen"),
    [
        ("succeeded", "failed", Sensible.LIVE_OR_NEWEST, NEW),
        ("succeeded", "running", Sensible.LIVE_OR_NEWEST, NEW),
        ("succeeded", "not-started", Sensible.LIVE_OR_NEWEST, NEW),
        ("running", "not-started", Sensible.LIVE_OR_NEWEST, OLD),
        ("running", "failed", Sensible.NEWEST, NEW),
        ("running", "failed", Sensible.LIVE, OLD),
        ("planned", "failed", Sensible.LIVE, OLD),
        ("unknown", "not-started", Sensible.LIVE, OLD),
    ],
)
def test_the_only_sensible_run_is_taken(
    old: str, new: str, sensible: Sensible, chosen: str
) -> None:
    record(OLD, old)
    record(NEW, new)
    run_id, about = choose_run(sensible)
    assert run_id == chosen
    assert about.startswith(f"{chosen} (sweep-a), started ")


@pytest.mark.parametrize(
    ("new", "sensible"), [("failed", Sensible.LIVE_OR_NEWEST), ("running", Sensible.LIVE)]
)
def test_two_sensible_runs_are_listed(
    new: str, sensible: Sensible, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_run, "find_live_runs", list)
    record(OLD, "running")
    record(NEW, new)
    with pytest.raises(UsageError, match=rf"one of several:\n  {NEW} .*\n  {OLD} ") as caught:
        choose_run(sensible)
    assert caught.value.hint == f"name one, for example: {NEW}"


@pytest.mark.parametrize(("live", "chosen"), [([OLD], OLD), ([NEW], NEW), ([], None)])
def test_hosts_say_which_of_several_runs_has_ended(
    live: list[str], chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def find_live_runs(runs: list[str]) -> list[str]:
        asked.append(runs)
        return live

    monkeypatch.setattr(latest_run, "find_live_runs", find_live_runs)
    record(OLD, "running")
    record(NEW, "running")
    if chosen is None:
        with pytest.raises(UsageError, match="no run is known to be running"):
            choose_run(Sensible.LIVE)
    else:
        assert choose_run(Sensible.LIVE)[0] == chosen
    assert asked == [[NEW, OLD]]


def test_nothing_is_stopped_that_is_not_known_to_run() -> None:
    record(NEW, "succeeded")
    with pytest.raises(UsageError, match="no run is known to be running on this machine"):
        choose_run(Sensible.LIVE)


@pytest.mark.parametrize("sensible", list(Sensible))
def test_a_machine_that_started_nothing_has_no_latest_run(sensible: Sensible) -> None:
    with pytest.raises(UsageError, match="RUN is missing, and no run"):
        choose_run(sensible)


def test_a_damaged_record_is_named_by_its_id() -> None:
    record(NEW, "succeeded")
    (Store().root / NEW / "run.json").write_text("{")
    assert choose_run(Sensible.NEWEST) == (NEW, NEW)
