# SPDX-License-Identifier: Apache-2.0
"""The line of a job on a terminal."""

from __future__ import annotations

from mlcube_remote.events.model import Stage, StageFinished
from mlcube_remote.ui.progress.job_row import JobRow, apply_event


def finished(stage: Stage, task: str | None = None) -> StageFinished:
    return StageFinished(host="a", at=0.0, stage=stage, task=task, seconds=1.0)


def test_a_preparation_that_is_repeated_is_shown_once() -> None:
    row = JobRow("a")
    for stage in (Stage.CONNECT, Stage.SYNC, Stage.CONNECT, Stage.SYNC, Stage.CONFIGURE):
        row = apply_event(row, finished(stage), now=0.0)
    for task in ("sync", "sync2"):
        row = apply_event(row, finished(Stage.RUN, task), now=0.0)
    assert row.done == ("connect 1.0s", "sync 1.0s", "configure 1.0s", "sync 1.0s", "sync2 1.0s")
