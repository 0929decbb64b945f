# SPDX-License-Identifier: Apache-2.0
"""Which hosts ``ps`` asks: no mistyped one, and none that the user has forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.app.known_hosts import forget_host, known_hosts, last_runs
from mlcube_remote.errors import RecordError, UsageError
from mlcube_remote.inventory import load
from mlcube_remote.runs.forgotten_hosts import read_forgotten
from mlcube_remote.runs.store import RUN, Store

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
LATER_ID = "991123-190233-k3j5h2g7x4q6w2ez"
SAME_SECOND_ID = "261123-190233-k4aaaaaaaaaaaaaa"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(run_id: str = RUN_ID, **statuses: str | None) -> None:
    """Record a run on the hosts 10.0.0.1, …; a status of ``None``: without a record of the job."""
    hosts = {name: f"10.0.0.{name[1:]}" for name in statuses}
    created = f"20{run_id[:2]}-11-23T19:02:33+00:00"
    jobs = [{"host": host, "job": f"{run_id}-{name}"} for name, host in hosts.items()]
    Store().write(run_id, RUN, {"created": created, "jobs": jobs})
    for name, status in statuses.items():
        if status is not None:
            Store().write(run_id, f"{run_id}-{name}", {"status": status, "host": hosts[name]})


def asked() -> list[str]:
    return [host.name for host in known_hosts(load.empty(), pytest.fail)]


def test_a_host_that_no_run_has_reached_is_not_asked() -> None:
    record(h1="running", h2="not-started", h3=None, h4="succeeded")
    assert asked() == ["10.0.0.1", "10.0.0.4"]


@pytest.mark.parametrize("later", [LATER_ID, SAME_SECOND_ID])
def test_a_forgotten_host_is_asked_again_after_a_new_run(later: str) -> None:
    record(h1="succeeded", h2="succeeded")
    forget_host("10.0.0.1", None, pytest.fail)
    assert asked() == ["10.0.0.2"]
    assert list(read_forgotten()) == ["10.0.0.1"]
    record(later, h1="succeeded")
    assert "10.0.0.1" in asked()


def test_forgetting_a_host_with_a_job_is_a_warning() -> None:
    record(h1="unknown")
    warnings: list[str] = []
    forget_host("10.0.0.1", None, warnings.append)
    assert warnings == [f"run {RUN_ID} may still be running on 10.0.0.1"]


def test_a_host_without_runs_cannot_be_forgotten() -> None:
    record(h1="succeeded")
    with pytest.raises(UsageError, match=r"no run .* was on 10.0.0.2 .*mean '10.0.0.1'"):
        forget_host("10.0.0.2", None, pytest.fail)


def test_a_host_of_the_inventory_is_removed_there(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts: {gpu: {}}\n")
    with pytest.raises(UsageError, match=r"gpu is in the inventory \(hosts.yaml:1"):
        forget_host("gpu", None, pytest.fail)


def test_this_machine_cannot_be_forgotten() -> None:
    with pytest.raises(UsageError, match="local is this machine, which is always asked"):
        forget_host("local", None, pytest.fail)


def test_a_damaged_list_of_forgotten_hosts_is_reported() -> None:
    record(h1="succeeded")
    forget_host("10.0.0.1", None, pytest.fail)
    (path,) = Store().root.parent.glob("forgotten-hosts.json")
    path.write_text('{"format": 1, "hosts": []}')
    with pytest.raises(RecordError, match="damaged record"):
        asked()


def test_the_age_of_a_host_is_that_of_its_newest_run() -> None:
    record(h1="succeeded")
    record("261125-190233-" + "a" * 16, h1="failed")
    ages = last_runs(["10.0.0.1", "10.0.0.2"])
    assert list(ages) == ["10.0.0.1"]
    assert last_runs([]) == {}
