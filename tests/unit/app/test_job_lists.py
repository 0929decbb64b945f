# SPDX-License-Identifier: Apache-2.0
"""Which jobs ``ps`` lists."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.job_lists import JobListFilter
from mlcube_remote.app.job_states import JOB_STATES, LIVE_STATES
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.handle import to_document
from mlcube_remote.jobs.query import LIVE, FoundJob, FoundTask, HostJobs
from mlcube_remote.runs.store import RUN, Store
from tests.support.handles import TICKET


def job(name: str, state: str, cube: str = "mnist") -> FoundJob:
    code = None if state in LIVE else 3
    return FoundJob(
        host="gpu",
        job_id=name,
        state=state,
        age=1,
        handle=attrs.evolve(TICKET, cube=cube),
        tasks=(FoundTask(task="t", exit=code, started=1, finished=None),),
    )


ANSWER = HostJobs(
    host=Host(name="gpu"),
    jobs=(job("a", "running"), job("b", "ended"), job("c", "running", cube="matmul")),
)


@pytest.mark.parametrize(
    ("which", "listed", "needs_ended"),
    [
        (JobListFilter(), "abc", False),
        (JobListFilter(everything=True), "abc", True),
        (JobListFilter(states=frozenset({"failed"})), "b", True),
        (JobListFilter(states=frozenset({"running"})), "ac", False),
        (JobListFilter(cubes=("mn*",)), "ab", False),
        (JobListFilter(cubes=("mn", "matmul")), "c", False),
        (JobListFilter(states=frozenset({"running"}), cubes=("mnist",)), "a", False),
    ],
)
def test_jobs_are_listed_by_state_and_cube(
    which: JobListFilter, listed: str, needs_ended: bool
) -> None:
    (answer,) = which.apply([ANSWER])
    assert "".join(each.job_id for each in answer.jobs) == listed
    assert which.needs_ended is needs_ended


@pytest.mark.parametrize("state", ["abandoned", "lost"])
@pytest.mark.parametrize("name", ["", "07"], ids=["one per host", "sweep"])
def test_a_job_that_was_run_again_is_listed_only_among_all(
    name: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    handle = attrs.evolve(TICKET, job=name)
    first = attrs.evolve(job("first", state), handle=handle)
    answer = HostJobs(host=Host(name="gpu"), jobs=(first,))

    def listed(which: JobListFilter) -> int:
        return len(which.apply([answer])[0].jobs)

    assert listed(JobListFilter()) == 1, "no record"
    for number, job_id in enumerate(("first", "second"), 1):
        jobs = [{"name": name or "gpu", "host": None if name else "gpu", "job": job_id}]
        Store().write(TICKET.run_id, RUN, {"jobs": jobs})
        record = {"ticket": to_document(attrs.evolve(handle, job_id=job_id)), "attempt": number}
        Store().write(TICKET.run_id, job_id, record)
        assert listed(JobListFilter()) == 2 - number
    assert listed(JobListFilter(everything=True)) == 1


def test_every_state_that_a_host_reports_can_be_filtered() -> None:
    for state in (*LIVE, "lost", "abandoned", "ended"):
        assert job("x", state).shown_state.partition(" ")[0] in JOB_STATES
    for state in LIVE:
        assert job("x", state).shown_state in LIVE_STATES
