# SPDX-License-Identifier: Apache-2.0
"""All jobs of a run in one line, with the time that the rest may take."""

from __future__ import annotations

import pytest

from mlcube_remote.events.model import JobRetried, Stage, StageStarted
from mlcube_remote.events.outcome import Status
from mlcube_remote.ui.progress.job_row import JobRow
from mlcube_remote.ui.progress.tally import JobCounter, Tally
from mlcube_remote.ui.progress.total import count_rows, render_progress, render_total
from tests.support.outcomes import job_finished

NOW = 1000.0


def done(seconds: float | None = 60.0, result: str = "succeeded") -> JobRow:
    return JobRow("a@b", result=result, seconds=seconds, began=0.0)


def running(since: float) -> JobRow:
    return JobRow("c@d", began=NOW - since)


WAITING = JobRow("e")


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([running(10), WAITING], ""),
        ([done()], ""),
        ([done(), running(10)], "about 50s left"),
        ([done(), running(10), running(40)], "about 50s left"),
        ([done(), running(30), running(30), *[WAITING] * 4], "about 2m 30s left"),
        ([done(), *[WAITING] * 2], "about 2m left"),
        ([done(), running(900)], ""),
        ([done(None, "cancelled"), running(10)], ""),
        ([done(30), done(90), running(10)], "about 50s left"),
    ],
)
def test_the_rest_takes_as_long_as_the_finished_jobs(rows: list[JobRow], left: str) -> None:
    assert count_rows(rows).left(NOW) == left


def test_a_total_counts_jobs() -> None:
    rows = [done(), done(result="failed"), running(30), WAITING]
    total = render_total(rows, NOW, unicode=False).plain
    assert total == "2 of 4 jobs #####-----  1 running, 1 waiting, 1 failed, about 1m 30s left"
    assert len(total) < 80
    assert render_progress(rows, NOW, unicode=False).plain.endswith("---  about 1m 30s left")


def test_hosts_with_one_job_each_are_hosts() -> None:
    rows = [JobRow("a", began=NOW), JobRow("b")]
    assert (
        render_total(rows, NOW, unicode=True).plain
        == "0 of 2 hosts ──────────  1 running, 1 waiting"
    )


def test_events_give_the_same_numbers() -> None:
    counter = JobCounter(5)
    start = [StageStarted(host=host, at=0.0, stage=Stage.CONNECT) for host in "abcd"]
    for event in (*start, *start, JobRetried(host="d", at=0.0, reason="lost")):
        counter.note(event, 100.0)
    counter.note(job_finished("a"), 160.0)
    counter.note(job_finished("b", Status.FAILED), 160.0)
    counter.note(job_finished("e", Status.CANCELLED), 160.0)
    assert counter.tally() == Tally(done=3, failed=2, waiting=1, began=(100.0,), took=(60.0, 60.0))
