# SPDX-License-Identifier: Apache-2.0
"""The report of a run that is still running."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.events.model import Event, JobFinished, JobRetried, Stage, StageStarted
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.ui.report.live import LiveReport, live_report
from tests.support.reported_runs import RUN_ID, attempt
from tests.support.waiting import wait_for

NAMES = ("000", "001", "007")
REFRESH = '<meta http-equiv="refresh" content="5">'


@pytest.fixture
def report(tmp_path: Path) -> LiveReport:
    jobs = [{"name": name, "host": None, "job": f"job{int(name)}"} for name in NAMES]
    run = {"jobs": jobs, "created": None, "client": "a@b", "cube": {"name": "c"}}
    Store().write(RUN_ID, RUN, run)
    return LiveReport(path=tmp_path / "report.html", run_id=RUN_ID, jobs=NAMES, interval=0.0)


def begins(name: str) -> Event:
    return StageStarted(host="gpu01", job=name, at=0.0, stage=Stage.RUN, task="train")


def ends(name: str, folder: Path) -> Event:
    record = attempt(int(name), folder)
    Store().write(RUN_ID, record["id"], record)
    outcome = JobOutcome(
        host="gpu01", job=name, platform="docker", status=Status(record["status"]), seconds={}
    )
    return JobFinished(host="gpu01", job=name, at=0.0, outcome=outcome)


def test_the_page_shows_what_jobs_do_and_loads_itself_again(
    report: LiveReport, tmp_path: Path
) -> None:
    report.handle(begins("000"))
    report.handle(begins("001"))
    report.handle(JobRetried(host="gpu01", job="001", at=0.0, reason="lost"))
    report.handle(begins("007"))
    report.handle(ends("007", tmp_path))
    report.write()
    html = report.path.read_text()
    assert REFRESH in html
    assert "1 of 3 jobs had ended" in html
    for state in ("soft", "run train"), ("soft", "waiting"), ("bad", "failed"):
        assert '<span class="badge {}">1 {}</span>'.format(*state) in html
    assert html.count("<strong>007@gpu04</strong>: failed") == 1
    assert "<strong>000" not in html, "a job that has not ended has not failed"


def test_an_attempt_that_runs_hides_the_failed_one_before(
    report: LiveReport, tmp_path: Path
) -> None:
    ends("007", tmp_path)
    report.write()
    html = report.path.read_text()
    assert "3 waiting" in html
    assert "Not succeeded" not in html


def test_the_page_follows_the_events_and_is_complete_at_the_end(
    report: LiveReport, tmp_path: Path
) -> None:
    with live_report(report):
        wait_for(lambda: report.path.exists() and "3 waiting" in report.path.read_text())
        report.handle(begins("000"))
        wait_for(lambda: "1 run train" in report.path.read_text())
        for name in NAMES:
            report.handle(ends(name, tmp_path))
    html = report.path.read_text()
    assert REFRESH not in html
    assert "still running" not in html
    assert "2 succeeded" in html
    assert "1 failed" in html
    assert report.problem is None


def test_a_page_that_cannot_be_written_does_not_end_the_run(report: LiveReport) -> None:
    report.path = report.path.parent / "none" / "report.html"
    with live_report(report):
        report.handle(begins("000"))
    assert isinstance(report.problem, FileNotFoundError)
