# SPDX-License-Identifier: Apache-2.0
"""A workspace has one live job, or the jobs of one run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlcube_remote.remote import library
from tests.support.shell_library import (
    Call,
    claim,
    connected,
    launch,
    records,
    state,
)
from tests.support.waiting import wait_for


def test_a_workspace_has_one_live_job(call: Call, job: Path, tmp_path: Path) -> None:
    lock, other = tmp_path / "lock", job.with_name("j2")
    with connected(job, lock):
        refused = claim(call, other, lock)
        report = dict(records(refused))
        assert refused.returncode == 16
        assert (report["holder"], report["state"], report["request"]) == ("j1", "preparing", "{}")
        assert not other.exists(), "the claim can be retried"
    assert claim(call, other, lock).returncode == 0, "a dead job holds no lock"


def test_a_running_job_holds_its_workspace_until_it_ends(
    call: Call, job: Path, tmp_path: Path, gate: Path
) -> None:
    lock, other = tmp_path / "lock", job.with_name("j2")
    assert claim(call, job, lock).returncode == 0
    assert launch(call, job, f"cat {gate}").returncode == 0
    assert state(call, job) == "running"
    assert dict(records(claim(call, other, lock)))["holder"] == "j1"
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")
    assert claim(call, other, lock).returncode == 0


def test_one_of_many_simultaneous_claims_gets_the_workspace(tmp_path: Path) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"
    jobs.mkdir()
    lock.mkdir()
    (lock / "first").write_text("dead1\n")
    (lock / "after.dead1").write_text("dead2\n")
    script = f'{library()}mlcr_claim_job "$1" "{{}}" "$2" >/dev/null; echo "$?"; cat >/dev/null'
    clients = [
        subprocess.Popen(
            # The outer shell is the connection; it lives until its input ends.
            ["sh", "-c", 'sh -c "$0" sh "$@"; :', script, str(jobs / f"j{number}"), str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(12)
    ]
    codes = []
    for client in clients:
        assert client.stdout is not None
        codes.append(int(client.stdout.readline()))
    for client in clients:
        client.communicate(timeout=30)
    assert sorted(codes) == [0, *[16] * 11]


@pytest.mark.parametrize("entry", ["first", "after.gone"])
def test_a_lock_entry_without_content_is_replaced(
    call: Call, job: Path, tmp_path: Path, entry: str
) -> None:
    lock = tmp_path / "lock"
    lock.mkdir()
    (lock / "first").write_text("gone\n")
    (lock / entry).write_text("")
    assert claim(call, job, lock).returncode == 0
    assert (lock / "first").read_text() == "j1\n"


def test_jobs_of_one_run_share_a_workspace_and_other_runs_wait(call: Call, tmp_path: Path) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"

    def claim(name: str, group: str) -> dict[str, str]:
        done = call("mlcr_claim_job", str(jobs / name), "{}", str(lock), group)
        return {"code": str(done.returncode), **dict(records(done))}

    def holds(name: str) -> bool:
        file = lock / "first"
        return file.exists() and file.read_text().startswith(name)

    with connected(jobs / "run1-a", lock, "run1"):
        wait_for(lambda: holds("run1-a run1"))
        with connected(jobs / "run1-b", lock, "run1"):
            wait_for(lambda: holds("run1-b run1"))
            assert claim("run2-a", "run2")["holder"] == "run1-b"
        assert claim("run2-a", "run2") == {
            "code": "16",
            "holder": "run1-a",
            "state": "preparing",
            "request": "{}",
        }, "its last holder is dead, but another job of its run is live"
        assert claim("alone", "")["code"] == "16"
        with connected(jobs / "run1-c", lock, "run1"):
            wait_for(lambda: holds("run1-c"))
    with connected(jobs / "run2-a", lock, "run2"):
        wait_for(lambda: holds("run2-a"))
        assert claim("run1-d", "run1")["code"] == "16"
    assert claim("run1-d", "run1")["kept"] == "", "another run had it in between"
    assert claim("run1-e", "run1")["kept"] == "yes"


def test_all_jobs_of_one_run_get_the_workspace_at_once(tmp_path: Path) -> None:
    jobs, lock = tmp_path / "jobs", tmp_path / "lock"
    jobs.mkdir()
    script = (
        f'{library()}mlcr_claim_job "$1" "{{}}" "$2" "$3" >/dev/null; echo "$?"; cat >/dev/null'
    )
    clients = [
        subprocess.Popen(
            ["sh", "-c", 'sh -c "$0" sh "$@"; :', script, str(jobs / name), str(lock), name[:4]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in (f"run{number % 2}-{number}" for number in range(12))
    ]
    codes = []
    for client in clients:
        assert client.stdout is not None
        codes.append(int(client.stdout.readline()))
    for client in clients:
        client.communicate(timeout=30)
    assert sorted(codes) == [*[0] * 6, *[16] * 6]
    assert {codes[number] for number in range(0, 12, 2)} != {codes[1]}, "of one run only"
