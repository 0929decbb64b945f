# SPDX-License-Identifier: Apache-2.0
"""The line of a job on a terminal."""

from __future__ import annotations

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    JobQueued,
    Stage,
    StageFinished,
    StageStarted,
)
from mlcube_remote.ui.progress.job_row import JobRow, apply_event
from mlcube_remote.ui.progress.overview import render_overview
from mlcube_remote.ui.progress.tally import JobCounter
from mlcube_remote.ui.progress.total import count_rows


def finished(stage: Stage, task: str | None = None) -> StageFinished:
    return StageFinished(host="a", at=0.0, stage=stage, task=task, seconds=1.0)


def test_a_preparation_that_is_repeated_is_shown_once() -> None:
    row = JobRow("a")
    for stage in (Stage.CONNECT, Stage.SYNC, Stage.CONNECT, Stage.SYNC, Stage.CONFIGURE):
        row = apply_event(row, finished(stage), now=0.0)
    for task in ("sync", "sync2"):
        row = apply_event(row, finished(Stage.RUN, task), now=0.0)
    assert row.done == ("connect 1.0s", "sync 1.0s", "configure 1.0s", "sync 1.0s", "sync2 1.0s")


def queued(reason: str = "Priority", host: str = "a") -> JobQueued:
    return JobQueued(host=host, at=0.0, reason=reason)


def started(stage: Stage, host: str = "a") -> StageStarted:
    return StageStarted(host=host, at=0.0, stage=stage)


def test_a_queue_is_a_state_with_its_reason() -> None:
    row = apply_event(JobRow("a"), finished(Stage.CONFIGURE), now=0.0)
    row = apply_event(row, queued(), now=10.0)
    row = apply_event(row, queued("Resources\x1b[2J"), now=20.0)
    shown = row.render(30.0, 80).plain
    assert shown == "configure 1.0s  queued 20s  Resources", "since the first reason"
    lost = ConnectionLost(host="a", at=0.0, reason="cut", retry_in=3.0)
    row = apply_event(row, lost, now=30.0)
    assert "queued 20s  no connection, retry in 3s (cut)" in row.render(30.0, 80).plain
    row = apply_event(row, ConnectionRestored(host="a", at=0.0, seconds=1.0), now=31.0)
    row = apply_event(row, started(Stage.RUN), now=40.0)
    assert row.render(42.0, 80).plain == "configure 1.0s  run 2s"


def test_jobs_in_a_queue_are_counted_and_are_not_slow() -> None:
    events = [
        *(started(Stage.CONNECT, host) for host in "abc"),
        *(queued(host=host) for host in "ab"),
        queued("Resources", host="a"),
        started(Stage.RUN, host="b"),
    ]
    rows, counter = {host: JobRow(host) for host in "abcd"}, JobCounter(4)
    for now, event in enumerate(events):
        rows[event.host] = apply_event(rows[event.host], event, float(now))
        counter.note(event, float(now))
    for tally in (counter.tally(), count_rows(rows.values())):
        assert tally.counts(7.0) == ["2 running", "1 queued", "1 waiting"]
        assert sorted(tally.began) == [2.0, 6.0], "the time in the queue is no work"
    lines = [line.plain for line in render_overview(list(rows.values()), 7.0, unicode=True)]
    assert lines[1] == "  waiting 1  queued 1  connect 1  run 1"
    assert [line.split()[-3] for line in lines[2:]] == ["c", "b"]
