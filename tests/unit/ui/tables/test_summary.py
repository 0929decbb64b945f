# SPDX-License-Identifier: Apache-2.0
"""The table at the end of a run lists tasks, failures and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from mlcube_remote.errors import (
    CancelledError,
)
from mlcube_remote.events.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.ui.tables.summary import summary_text
from tests.support.outcomes import failed as outcome


def test_the_table_has_a_row_for_each_task() -> None:
    text = summary_text([outcome(), outcome("gpu02", tasks=(), outputs=())])
    assert text.splitlines()[:3] == [
        "host   task   result     exit  connect  run",
        "gpu01  get    succeeded  0     0.2      3.5",
        "       train  failed     3",
    ]
    assert "gpu01: train: no luck" in text
    assert "  gpu01: data: workspace/data" in text


def test_many_outputs_are_listed_by_folder() -> None:
    outputs = tuple(
        PulledOutput(task="t", name=f"o{n}", path=Path(f"/x/results/run/h/deep/{n}"))
        for n in range(20)
    )
    assert summary_text([outcome(outputs=outputs)]).endswith("outputs:\n  gpu01: /x/results/run/h")


def test_an_output_of_several_tasks_is_listed_once_as_the_last_task_left_it() -> None:
    first = PulledOutput(task="get", name="o", path=Path("/x/o"))
    second = PulledOutput(task="train", name="o", path=Path("/x/o"), is_partial=True)
    text = summary_text([outcome(outputs=(first, second))])
    assert text.endswith("outputs:\n  gpu01: o: /x/o (incomplete)")


def job(host: str, status: Status = Status.SUCCEEDED, **changes: Any) -> JobOutcome:
    values: dict[str, Any] = {
        "tasks": (TaskOutcome(task="train", status=status, exit_code=3),),
        "seconds": {"run": 2.0},
    }
    return JobOutcome(host=host, platform="docker", status=status, **(values | changes))


def test_the_table_of_many_jobs_lists_only_failed_ones() -> None:
    results = PulledOutput(task="train", name="m", path=Path("/c/results/RUN/h000/m.json"))
    well = [job(f"h{n:03}", outputs=(results,), seconds={"run": float(n)}) for n in range(90)]
    lines = summary_text([*well, job("h090", Status.FAILED)]).splitlines()
    assert lines == [
        "90 of 91 succeeded, in 0.0 to 89.0 s (median 45.0 s)",
        "",
        "host  task   result  exit  run",
        "h090  train  failed  3     2.0",
        "",
        "outputs:",
        "  /c/results/RUN",
    ]
    # A command that did not follow the jobs knows only how long their tasks took.
    took = TaskOutcome(task="train", status=Status.SUCCEEDED, seconds=7.0)
    seen = [job(f"h{n:03}", tasks=(took,), seconds={"connect": 0.2, "pull": 1}) for n in range(90)]
    assert "in 7.0 to 7.0 s" in summary_text(seen)
    failed = [job(f"h{n:03}", Status.FAILED) for n in range(100)]
    lines = summary_text(failed).splitlines()
    assert lines[0] == "0 of 100 succeeded"
    assert len(lines) == 17
    assert lines[-1] == "… and 88 more: h[012-099]"


def test_cancelled_jobs_are_listed_after_failed_ones() -> None:
    cancelled = [
        job(
            f"h{n:02}",
            Status.CANCELLED,
            tasks=(TaskOutcome(task="train", status=Status.NOT_STARTED),),
            error=CancelledError("one job has failed"),
            seconds={},
        )
        for n in range(30)
    ]
    lines = summary_text([*cancelled, job("h30", Status.FAILED)]).splitlines()
    assert lines[3].split() == ["h30", "train", "failed", "3", "2.0"]
    assert lines[4].split() == ["h00", "train", "not-started"]
    assert lines[-1] == "… and 19 more: h[11-29]"


def test_the_parameters_of_a_sweep_are_a_column() -> None:
    parameters = {"lr": "0.1", "seed": "7"}
    rows = summary_text(
        [
            job("h1", job="01", parameters=parameters),
            job("h1", Status.FAILED, job="02", parameters=parameters | {"data": "d" * 50}),
        ]
    ).splitlines()
    assert rows[0].split() == ["host", "parameters", "task", "result", "exit", "run"]
    assert rows[1].split() == ["01@h1", "lr=0.1", "seed=7", "train", "succeeded", "3", "2.0"]
    assert "lr=0.1 seed=7 data=dddddddddddddddddddd…  train  failed" in rows[2]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_row_wraps_in_a_terminal(width: int) -> None:
    jobs = [
        job(f"{n:02}@gpu{n:02}", parameters={"learning_rate": "0.001", "batch": "256"})
        for n in range(3)
    ]
    stages = dict.fromkeys(("connect", "sync", "configure", "run", "pull"), 123.4)
    jobs = [attrs.evolve(each, seconds=stages) for each in jobs]
    table = summary_text(jobs, width=width).splitlines()
    assert max(map(len, table)) <= width
    assert "succeeded" in table[1]
    assert summary_text(jobs, width=120) == summary_text(jobs)
