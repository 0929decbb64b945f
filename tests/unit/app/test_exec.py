# SPDX-License-Identifier: Apache-2.0
"""``exec`` enters the only job that runs, and lists those that may run otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from unittest import mock

import attrs
import pytest

from mlcube_remote.app import exec as entering
from mlcube_remote.app import running_jobs
from mlcube_remote.app.follow import FoundRun
from mlcube_remote.errors import UnreachableError, UsageError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import JobHandle, to_document
from mlcube_remote.jobs.lookup import RecordedJob, RecordedRun
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from tests.support.handles import TICKET

RUN_ID = TICKET.run_id


def trial(number: int, **more: Any) -> RecordedJob:
    job_id, host = f"{RUN_ID}-{number:02}", Host(name=f"gpu{number}")
    handle = attrs.evolve(TICKET, job=f"{number:02}", job_id=job_id, host=host.name)
    job = RecordedJob(run_id=RUN_ID, host=host, job_id=job_id, handle=handle, job=handle.job)
    return attrs.evolve(job, **more)


def found(states: Mapping[str, str], *jobs: RecordedJob) -> FoundRun:
    """Return a run whose hosts report these states of jobs; a host without one is silent."""

    def connect(host: Host, *_: object) -> Connection:
        if host.name not in states:
            raise UnreachableError(host.name, "refused")
        connection = FakeConnection(host.name)
        facts = ""
        for job in jobs:
            if job.host == host and states[host.name] != "gone":
                request = json.dumps(to_document(job.handle or TICKET))
                facts += f"job={job.job_id}\0state={states[host.name]}\0age=1\0"
                facts += f"request={job.job_id} {request}\0"
        connection.answer("mlcr_report_jobs", Reply(0, facts.encode(), b""))
        return connection

    run = RecordedRun(run_id=RUN_ID, jobs=jobs, results=None)
    return FoundRun(run=run, logins=mock.Mock(connect=connect))


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the jobs whose containers were entered."""
    entered: list[str] = []

    def exec_in_job(_connection: Connection, handle: JobHandle, *_: object) -> int:
        entered.append(handle.job)
        return 7

    monkeypatch.setattr(entering, "exec_in_job", exec_in_job)
    return entered


@pytest.mark.parametrize("other", ["gone", "queued", "preparing"])
def test_the_only_job_that_runs_is_entered_and_named(other: str, entered: list[str]) -> None:
    states = {"gpu2": "running", "gpu3": other}
    run = found(states, trial(1, is_seen=True), trial(2), trial(3), trial(4, may_run=False))
    said: list[str] = []
    assert entering.exec_in_run(run, ["ls"], print, said.append) == 7
    assert entered == ["02"]
    assert said == ["job 02@gpu2, the only one that may run"]


def test_jobs_that_may_run_are_listed(entered: list[str]) -> None:
    run = found({"gpu1": "gone", "gpu2": "running"}, trial(1), trial(2), trial(3))
    with pytest.raises(UsageError, match="has 2 jobs that may run: 02, 03") as caught:
        entering.exec_in_run(run, ["ls"], print, print)
    assert caught.value.hint == f"choose one: {RUN_ID}/02"
    assert not entered


def test_a_run_that_has_ended_has_its_output(entered: list[str]) -> None:
    run = found({"gpu1": "gone", "gpu2": "gone"}, trial(1), trial(2))
    with pytest.raises(UsageError, match="has 2 jobs, and none of them runs: 01") as caught:
        entering.exec_in_run(run, ["ls"], print, print)
    assert caught.value.hint == f"their output: mlcube-remote logs {RUN_ID}"
    assert not entered


def test_a_run_whose_hosts_cannot_be_found_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {
        "runs": found({"gpu1": "running"}, trial(1)),
        "queued": found({"gpu1": "queued"}, trial(1)),
        "ended": found({"gpu1": "gone"}, trial(1)),
        "silent": found({}, trial(1)),
        "seen": found({"gpu1": "running"}, trial(1, is_seen=True)),
    }

    def find_run(run_id: str, *_: object) -> FoundRun:
        if run_id not in runs:
            raise UsageError(f"no run {run_id}")
        return runs[run_id]

    monkeypatch.setattr(running_jobs, "find_run", find_run)
    assert running_jobs.find_live_runs([*runs, "lost"]) == ["runs", "queued", "silent"]
    assert running_jobs.find_live_runs([]) == []
