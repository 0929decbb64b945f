# SPDX-License-Identifier: Apache-2.0
"""A hundred hosts on one screen: counted, folded, and what is alike shown once."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.dispatch.events import (
    Event,
    JobFinished,
    JobMoved,
    Output,
    Stage,
    StageFinished,
)
from mlcube_remote.dispatch.outcome import JobOutcome, PulledOutput, Status, TaskOutcome
from mlcube_remote.errors import (
    CancelledError,
    HostError,
    MLCubeRemoteError,
    TransferError,
    UnreachableError,
)
from mlcube_remote.inventory.host_ranges import expand, split_commas
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui import gather
from mlcube_remote.ui.crowd import crowd
from mlcube_remote.ui.errors import print_errors
from mlcube_remote.ui.folding import folded
from mlcube_remote.ui.jobline import JobLine, why
from mlcube_remote.ui.reporter import make_reporter
from mlcube_remote.ui.summary import summary


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["gpu1"], "gpu1"),
        (["gpu1", "gpu2", "gpu3", "gpu5"], "gpu[1-3,5]"),
        (["gpu01", "gpu02", "cpu7"], "gpu[01-02],cpu7"),
        (["gpu08", "gpu09", "gpu10", "gpu11"], "gpu[08-11]"),
        (["gpu9", "gpu09", "gpu10"], "gpu9,gpu[09-10]"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["login", "gpu2", "login"], "login,gpu2"),
        (["rack1-a", "rack2-a", "rack2-b"], "rack[1-2]-a,rack2-b"),
        (["07@gpu1", "08@gpu1"], "07@gpu1,08@gpu1"),
    ],
)
def test_names_are_folded_into_ranges(names: list[str], text: str) -> None:
    assert folded(names) == text


NAMES = st.from_regex(r"[a-z]{1,3}[0-9]{0,4}(-[a-z])?", fullmatch=True)


@given(st.lists(NAMES, max_size=30))
def test_folded_names_mean_the_same_to_the_command_line(names: list[str]) -> None:
    again = [name for part in split_commas(folded(names)) for name in expand(part)]
    assert sorted(again) == sorted(set(names))


def line(number: int, **changes: Any) -> JobLine:
    values: dict[str, Any] = {"label": f"h{number:03}", "since": float(number)}
    return JobLine(**(values | changes))


def shown(lines: list[JobLine], now: float = 100.0) -> list[str]:
    return [row.plain.rstrip() for row in crowd(lines, now, unicode=False)]


def test_many_jobs_are_counted_by_stage_and_by_end() -> None:
    lines = [
        *(line(n) for n in range(5)),
        *(line(n, stage=Stage.SYNC) for n in range(5, 8)),
        *(line(n, stage=Stage.RUN, task="train") for n in range(8, 60)),
        *(line(n, reached=Stage.RUN) for n in range(60, 62)),
        *(line(n, result="succeeded") for n in range(62, 98)),
        line(98, result="failed", reason="train: exit code 3"),
        line(99, result="not-started", reason="no \x1b[31mroute\nto it"),
    ]
    assert shown(lines) == [
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
def test_however_many_they_are_few_lines_are_shown(seed: int) -> None:
    ends = ("", "succeeded", "failed", "cancelled", "lost")
    stages = (None, *Stage)
    lines = [
        line(n, result=ends[n * (seed + 1) % 5], stage=stages[n % 6], label="x" * 100)
        for n in range(1000)
    ]
    assert len(crowd(lines, 0.0, unicode=True)) <= 9


def test_the_slowest_are_those_that_have_been_longest_in_their_stage() -> None:
    lines = [line(n, stage=Stage.RUN, task="t", detail=f"epoch {n}") for n in range(20)]
    assert shown(lines[::-1])[2:4] == [
        "  slowest h000  run t 100s  epoch 0",
        "          h001  run t 99s  epoch 1",
    ]


def test_between_two_stages_a_job_may_be_the_slowest_too() -> None:
    lines = [line(n, reached=Stage.CONNECT) for n in range(2)]
    lines += [line(2, stage=Stage.SYNC, reached=Stage.SYNC), *(line(n) for n in range(3, 20))]
    assert shown(lines)[2:] == [
        "  slowest h000  after connect 100s",
        "          h001  after connect 99s",
        "          h002  sync 98s",
    ]


def outcome(host: str, status: Status = Status.SUCCEEDED, **changes: Any) -> JobOutcome:
    values: dict[str, Any] = {
        "tasks": (TaskOutcome(task="train", status=status, exit_code=3),),
        "seconds": {"run": 2.0},
    }
    return JobOutcome(host=host, platform="docker", status=status, **(values | changes))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (outcome("a"), ""),
        (outcome("a", Status.FAILED), "train: exit code 3"),
        (outcome("a", Status.FAILED, error=UnreachableError("a", "no route")), "no route"),
        (outcome("a", Status.FAILED, error=MLCubeRemoteError("odd")), "odd"),
        (outcome("a", Status.FAILED, tasks=()), ""),
    ],
)
def test_why_a_job_failed_is_said_in_a_few_words(found: JobOutcome, reason: str) -> None:
    assert why(found) == reason


def test_the_table_of_many_jobs_has_those_that_need_somebody() -> None:
    results = PulledOutput(task="train", name="m", path=Path("/c/results/RUN/h000/m.json"))
    well = [outcome(f"h{n:03}", outputs=(results,), seconds={"run": float(n)}) for n in range(90)]
    lines = summary([*well, outcome("h090", Status.FAILED)]).splitlines()
    assert lines == [
        "90 of 91 succeeded, in 0.0 to 89.0 s (median 45.0 s)",
        "",
        "host  task   result  exit  run",
        "h090  train  failed  3     2.0",
        "",
        "outputs:",
        "  /c/results/RUN",
    ]
    failed = [outcome(f"h{n:03}", Status.FAILED) for n in range(100)]
    lines = summary(failed).splitlines()
    assert lines[0] == "0 of 100 succeeded"
    assert len(lines) == 17
    assert lines[-1] == "… and 88 more: h[012-099]"


def test_what_was_cancelled_because_of_others_hides_none_of_them() -> None:
    cancelled = [
        outcome(
            f"h{n:02}",
            Status.CANCELLED,
            tasks=(TaskOutcome(task="train", status=Status.NOT_STARTED),),
            error=CancelledError("one job has failed"),
            seconds={},
        )
        for n in range(30)
    ]
    lines = summary([*cancelled, outcome("h30", Status.FAILED)]).splitlines()
    assert lines[3].split() == ["h30", "train", "failed", "3", "2.0"]
    assert lines[4].split() == ["h00", "train", "not-started"]
    assert lines[-1] == "… and 19 more: h[11-29]"


def test_what_a_sweep_gave_a_job_stands_in_its_row() -> None:
    given = {"lr": "0.1", "seed": "7"}
    rows = summary(
        [
            outcome("h1", job="01", parameters=given),
            outcome("h1", Status.FAILED, job="02", parameters=given | {"data": "d" * 50}),
        ]
    ).splitlines()
    assert rows[0].split() == ["host", "given", "task", "result", "exit", "run"]
    assert rows[1].split() == ["01@h1", "lr=0.1", "seed=7", "train", "succeeded", "3", "2.0"]
    assert "lr=0.1 seed=7 data=dddddddddddddddddddd…  train  failed" in rows[2]


def printed(errors: list[MLCubeRemoteError]) -> list[str]:
    stream = io.StringIO()
    print_errors(errors, stream)
    return stream.getvalue().splitlines()


def test_what_many_hosts_have_in_common_is_said_once() -> None:
    errors: list[MLCubeRemoteError] = [
        UnreachableError(f"h{n:02}", "no route", hint=f"ssh h{n:02}") for n in range(40)
    ]
    errors += [
        TransferError("h40", "disk full"),
        MLCubeRemoteError("odd"),
        MLCubeRemoteError("odd"),
    ]
    assert printed([errors[0], errors[0], errors[1]]) == [
        "error: h00: no route",
        "hint: ssh h00",
        "error: h01: no route",
        "hint: ssh h01",
    ]
    assert printed(errors) == [
        "error: h[00-39] (40): no route",
        "hint: for h00: ssh h00",
        "error: odd",
        "error: h40: disk full",
    ]


def test_errors_of_few_hosts_are_all_told() -> None:
    errors: list[MLCubeRemoteError] = [HostError(f"h{n}", "no route") for n in range(3)]
    assert printed(errors) == [f"error: h{n}: no route" for n in range(3)]


def test_errors_that_nobody_would_read_are_counted() -> None:
    errors: list[MLCubeRemoteError] = [HostError(f"h{n}", f"odd {n * n}") for n in range(50)]
    lines = printed(errors)
    assert len(lines) == 13
    assert lines[-1] == "error: … and 38 more"


def said(host: str, data: bytes, task: str = "t", stream: Stream = Stream.STDOUT) -> Output:
    return Output(host=host, at=0.0, stage=Stage.RUN, task=task, stream=stream, data=data)


def ended(host: str, task: str = "t") -> StageFinished:
    return StageFinished(host=host, at=0.0, stage=Stage.RUN, task=task, seconds=1.0)


def over(host: str) -> JobFinished:
    return JobFinished(host=host, at=0.0, outcome=outcome(host))


def gathered(events: Iterable[Event], *hosts: str) -> tuple[list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    reporter = make_reporter(
        hosts=hosts, quiet=True, verbose=False, json=False, gather=True, stdout=out, stderr=err
    )
    for event in events:
        reporter.handle(event)
    reporter.close()
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def test_equal_output_is_shown_once_and_what_differs_last() -> None:
    hosts = [f"h{n:02}" for n in range(10)]
    events: list[Event] = [said(host, b"hel") for host in hosts if host != "h03"]
    events += [said(host, b"lo\nrest") for host in hosts if host != "h03"]
    events += [said("h03", b"\x1b[31modd\x07\n"), *(ended(host) for host in hosts)]
    out, err = gathered(events, *hosts)
    assert out == ["h[00-02,04-09] (9): t", "  hello", "  rest", "h03: t", "  odd\\x07"]
    assert err == []


def test_nothing_is_shown_before_the_last_host_has_ended_its_task() -> None:
    out = io.StringIO()
    reporter = make_reporter(
        hosts=("a", "b", "c"),
        quiet=True,
        verbose=False,
        json=False,
        gather=True,
        stdout=out,
        stderr=out,
    )
    for host in "abc":
        reporter.handle(said(host, b"one\n", "first"))
    for event in (ended("a", "first"), said("a", b"two\n", "second"), ended("b", "first")):
        reporter.handle(event)
    assert out.getvalue() == ""
    reporter.handle(over("c"))
    assert out.getvalue() == "a,b,c (3): first\n  one\n", "who is over has ended all tasks"
    reporter.close()
    assert out.getvalue().endswith("a: second\n  two\n"), "what is left is shown at the end"


def test_who_printed_nothing_is_named_where_others_did() -> None:
    out, _ = gathered([said("a", b"x\n"), ended("a"), ended("b"), over("a"), over("b")], "a", "b")
    assert out == ["a: t", "  x", "b: t: nothing"]


def test_each_stream_is_compared_by_itself() -> None:
    events: list[Event] = [said(host, b"same\n") for host in "ab"]
    events += [said(host, host.encode() + b"\n", stream=Stream.STDERR) for host in "ab"]
    out, err = gathered([*events, over("a"), over("b")], "a", "b")
    assert out == ["a,b (2): t", "  same"]
    assert err == ["a: t", "  a", "b: t", "  b"]


def test_a_job_that_is_done_again_is_shown_as_of_its_last_time() -> None:
    moved = JobMoved(host="h1", job="01", at=0.0, reason="lost")
    first = Output(
        host="h1", job="01", at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT, data=b"x\n"
    )
    again = Output(
        host="h2", job="01", at=0.0, stage=Stage.RUN, task="t", stream=Stream.STDOUT, data=b"y\n"
    )
    done = JobFinished(host="h2", job="01", at=0.0, outcome=outcome("h2", job="01"))
    out, err = gathered([first, moved, again, done], "01", "02")
    assert out == ["01@h2: t", "  y"]
    assert err == ["warning: 01@h1: lost; to be done again"]


class Full:
    """A temporary file on a disk that is full."""

    def __init__(self, _limit: int) -> None:
        self.data = io.BytesIO()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def write(self, data: bytes) -> int:
        if self.data.tell():
            raise OSError(28, "No space left on device")
        return self.data.write(data)


def test_a_disk_that_is_full_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    out, _ = gathered([said("a", b"one\n"), said("a", b"two\n"), over("a"), over("b")], "a", "b")
    assert out == ["a: t", "  one", "  (the rest could not be kept: No space left on device)"]


def test_much_output_is_not_kept_in_memory() -> None:
    events = [said(host, b"x" * gather.IN_MEMORY + b"\n") for host in "ab"] * 20
    out, _ = gathered([*events, over("a"), over("b")], "a", "b")
    assert out[0] == "a,b (2): t"
    assert len(out) == 21
