# SPDX-License-Identifier: Apache-2.0
"""The table of ``status``: start, elapsed time, and where the outputs are."""

from __future__ import annotations

import time

import pytest

from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.ui.tables.status import status_document, status_text

NOW = 1_795_000_000.0


def job(host: str, *tasks: TaskOutcome, parameters: dict[str, str] | None = None) -> JobOutcome:
    status = tasks[-1].status if tasks else Status.NOT_STARTED
    return JobOutcome(
        host=host,
        platform="docker",
        status=status,
        tasks=tasks,
        seconds={},
        parameters=parameters or {},
    )


DONE = TaskOutcome(
    task="get", status=Status.SUCCEEDED, exit_code=0, started=int(NOW) - 90, seconds=30.2
)
RUNS = TaskOutcome(task="train", status=Status.RUNNING, started=int(NOW) - 60)
WAITS = TaskOutcome(task="get", status=Status.NOT_STARTED)
FAILED = TaskOutcome(task="get", status=Status.FAILED, exit_code=1, reason="out of memory")


def rows(*jobs: JobOutcome, on_host: tuple[str, ...] = ()) -> list[list[str]]:
    text = status_text(jobs, on_host, now=NOW, width=None)
    return [line.split() for line in text.splitlines()]


def test_a_running_task_has_its_start_and_the_time_since() -> None:
    started = time.strftime("%m-%d %H:%M", time.localtime(NOW - 60)).split()
    header, first, second = rows(job("gpu", DONE, RUNS), on_host=("gpu",))
    assert header == ["host", "task", "state", "exit", "started", "elapsed", "outputs"]
    assert first[:4] == ["gpu", "get", "succeeded", "0"]
    assert first[-4:] == ["30s", "on", "the", "host"]
    assert second == ["train", "running", *started, "1m"]


@pytest.mark.parametrize(
    ("tasks", "on_host", "place"),
    [
        ((DONE,), ("gpu",), "on the host"),
        ((DONE,), (), "here"),
        ((WAITS,), ("gpu",), "-"),
        ((), ("gpu",), "-"),
    ],
)
def test_the_place_of_the_outputs_is_shown(
    tasks: tuple[TaskOutcome, ...], on_host: tuple[str, ...], place: str
) -> None:
    text = status_text([job("gpu", *tasks)], on_host, now=NOW, width=None)
    assert text.splitlines()[1].endswith(f"  {place}")


def test_a_clock_that_is_behind_shows_no_negative_time() -> None:
    text = status_text([job("gpu", RUNS)], (), now=NOW - 3600, width=None)
    assert "  0s " in text


def test_reasons_follow_the_table() -> None:
    text = status_text([job("gpu", FAILED)], (), now=NOW, width=None)
    assert text.endswith("\n\ngpu: get: out of memory")


@pytest.mark.parametrize("width", [80, 120])
def test_no_row_wraps(width: int) -> None:
    jobs = [job(f"gpu{n}", DONE, RUNS, parameters={"learning_rate": "0.1" * 9}) for n in range(3)]
    text = status_text(jobs, (), now=NOW, width=width)
    assert max(map(len, text.splitlines())) <= width


def test_the_document_says_where_the_outputs_are() -> None:
    document = status_document("r", [job("a", DONE), job("b", DONE)], 0, ["a"])
    assert [each["outputs_on_host"] for each in document["jobs"]] == [True, False]
