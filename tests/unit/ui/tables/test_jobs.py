# SPDX-License-Identifier: Apache-2.0
"""The list of jobs: a sweep is one row, and rows fit the terminal."""

from __future__ import annotations

import attrs
import pytest

from mlcube_remote.errors import UnreachableError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.query import FoundJob, FoundTask, HostJobs
from mlcube_remote.ui.tables.jobs import JobsLayout, jobs_document, jobs_text
from tests.support.handles import TICKET

GPU, CPU = Host(name="gpu", address="gpu"), Host(name="cpu", address="cpu")


def trial(
    name: str, state: str, *, host: str = "gpu", exit_code: int = 0, age: int = 60
) -> FoundJob:
    handle = attrs.evolve(
        TICKET, job=name, host=host, run_name="sweep-a", parameters={"lr": f"0.{name}"}
    )
    code = None if state == "running" else exit_code
    task = FoundTask(task="train", exit=code, started=10, finished=None)
    return FoundJob(host=host, job_id=name, state=state, age=age, handle=handle, tasks=(task,))


SURVEYS = [
    HostJobs(host=GPU, jobs=(trial("01", "running"), trial("02", "ended", exit_code=3, age=90))),
    HostJobs(host=CPU, jobs=(trial("03", "ended", host="cpu"),)),
]


def test_each_trial_has_its_name_and_parameters() -> None:
    header, first, *_ = jobs_text(SURVEYS).splitlines()
    assert header.split() == [
        *("run", "name", "job", "state", "task", "parameters", "cube", "age", "client")
    ]
    assert first.split()[1:6] == ["sweep-a", "01@gpu", "running", "train", "lr=0.01"]


def test_a_sweep_is_one_row_with_counts() -> None:
    _, row = jobs_text(SURVEYS, JobsLayout(is_folded=True)).splitlines()
    assert "3 jobs on 2 hosts" in row
    assert "1 failed, 1 running, 1 succeeded" in row
    assert "1m 30s" in row, "the age of the oldest job"


def test_only_the_last_attempt_of_a_trial_counts() -> None:
    again = (trial("01", "running", age=5), trial("01", "ended", exit_code=1, age=50))
    (_, row) = jobs_text([HostJobs(host=GPU, jobs=again)], JobsLayout(is_folded=True)).splitlines()
    assert "1 job on 1 host " in row
    assert "1 running " in row


@pytest.mark.parametrize("is_folded", [True, False])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_row_wraps_and_the_run_stays_addressable(width: int, is_folded: bool) -> None:
    silent = HostJobs(host=Host(name="down"), error=UnreachableError("down", "x" * 200))
    lines = jobs_text([*SURVEYS, silent], JobsLayout(width=width, is_folded=is_folded)).splitlines()
    assert max(map(len, lines)) <= width
    assert "sweep-a" in lines[1]


def test_a_narrow_terminal_has_the_last_part_of_the_id() -> None:
    job = attrs.evolve(trial("01", "running"), handle=TICKET)
    lines = jobs_text([HostJobs(host=GPU, jobs=(job,))], JobsLayout(width=70)).splitlines()
    assert lines[1].split()[0] == TICKET.run_id[-16:]


def test_a_name_that_two_runs_have_is_shown_for_the_newer_one() -> None:
    jobs = [trial("01", "running"), trial("02", "running", age=5)]
    older = attrs.evolve(jobs[1], handle=attrs.evolve(TICKET, run_id="1" + "a" * 30, run_name="x"))
    newer = attrs.evolve(jobs[0], handle=attrs.evolve(TICKET, run_id="2" + "b" * 30, run_name="x"))
    lines = jobs_text([HostJobs(host=GPU, jobs=(newer, older))], JobsLayout(width=80)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["a" * 16, "x"]


def test_a_silent_host_is_one_faint_line_with_its_age() -> None:
    silent = HostJobs(host=Host(name="down"), error=UnreachableError("down", "refused"))
    layout = JobsLayout(last_runs={"down": "3d"}, faint=lambda text: f"<{text}>")
    assert jobs_text([silent], layout).splitlines()[-1] == (
        "<down: no answer (last run 3d ago): refused>"
    )
    narrow = attrs.evolve(layout, width=40)
    assert (
        jobs_text([silent], narrow).splitlines()[-1] == "<down: no answer (last run 3d ago): refu…>"
    )


def test_an_empty_list_says_if_a_filter_made_it_empty() -> None:
    empty = [HostJobs(host=GPU), HostJobs(host=CPU)]
    assert jobs_text(empty) == "no jobs on 2 hosts"
    filtered = JobsLayout(is_filtered=True, hides_ended=True)
    assert jobs_text(empty[:1], filtered) == (
        "no matching jobs on 1 host (--all shows those that have ended)"
    )


def test_the_document_has_names_and_parameters() -> None:
    (job, _) = jobs_document(SURVEYS)["hosts"][0]["jobs"]
    assert (job["run_name"], job["job_name"], job["parameters"]) == (
        "sweep-a",
        "01",
        {"lr": "0.01"},
    )
