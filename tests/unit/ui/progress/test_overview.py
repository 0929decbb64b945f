# SPDX-License-Identifier: Apache-2.0
"""Many jobs are summarised in a few lines."""

from __future__ import annotations

from typing import Any

import pytest

from mlcube_remote.events.model import (
    Stage,
)
from mlcube_remote.ui.progress.job_row import JobRow
from mlcube_remote.ui.progress.overview import render_overview


def row(number: int, **changes: Any) -> JobRow:
    values: dict[str, Any] = {"label": f"h{number:03}", "since": float(number)}
    return JobRow(**(values | changes))


def render(lines: list[JobRow], now: float = 100.0) -> list[str]:
    return [row.plain.rstrip() for row in render_overview(lines, now, unicode=False)]


def test_jobs_are_counted_by_stage_and_by_result() -> None:
    lines = [
        *(row(n) for n in range(5)),
        *(row(n, stage=Stage.SYNC) for n in range(5, 8)),
        *(row(n, stage=Stage.RUN, task="train") for n in range(8, 60)),
        *(row(n, last_stage=Stage.RUN) for n in range(60, 62)),
        *(row(n, result="succeeded") for n in range(62, 98)),
        row(98, result="failed", reason="train: exit code 3"),
        row(99, result="not-started", reason="no \x1b[31mroute\nto it"),
    ]
    assert render(lines) == [
        "38 of 100 hosts ###########-------------------",
        "  waiting 5  sync 3  run 54",
        "  succeeded 36  failed 1  not-started 1",
        "  slowest h005  sync 95s",
        "          h006  sync 94s",
        "          h007  sync 93s",
        "  failed  h098  train: exit code 3",
        "          h099  no route\\nto it",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_number_of_jobs_needs_few_lines(seed: int) -> None:
    ends = ("", "succeeded", "failed", "cancelled", "lost")
    stages = (None, *Stage)
    lines = [
        row(n, result=ends[n * (seed + 1) % 5], stage=stages[n % 6], label="x" * 100)
        for n in range(1000)
    ]
    assert len(render_overview(lines, 0.0, unicode=True)) <= 9


def test_the_slowest_jobs_are_longest_in_their_stage() -> None:
    lines = [row(n, stage=Stage.RUN, task="t", detail=f"epoch {n}") for n in range(20)]
    assert render(lines[::-1])[2:4] == [
        "  slowest h000  run t 100s  epoch 0",
        "          h001  run t 99s  epoch 1",
    ]


def test_a_job_between_two_stages_can_be_the_slowest() -> None:
    lines = [row(n, last_stage=Stage.CONNECT) for n in range(2)]
    lines += [row(2, stage=Stage.SYNC, last_stage=Stage.SYNC), *(row(n) for n in range(3, 20))]
    assert render(lines)[2:] == [
        "  slowest h000  after connect 100s",
        "          h001  after connect 99s",
        "          h002  sync 98s",
    ]
