# SPDX-License-Identifier: Apache-2.0
"""The supervisor records in which order the two logs of a task grow."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlcube_remote.jobs.log_order import parse_order, split_by_order
from mlcube_remote.jobs.log_times import parse_times
from mlcube_remote.transport.base import Stream
from tests.support.shell_library import Call, facts, launch, state
from tests.support.waiting import wait_for

LIMIT = 1_000_000


def merged(call: Call, job: Path) -> str:
    """Return both logs of the first task in the recorded order."""
    report = dict(facts(call("mlcr_report_task", str(job), "1", "order")))
    logs = {each: (job / "tasks/1" / each.value).read_bytes() for each in Stream}
    at = dict.fromkeys(Stream, 0)
    found = b""
    end = {each: len(log) for each, log in logs.items()}
    for stream, count in split_by_order(parse_order(report.get("order", "")), at, end):
        found += logs[stream][at[stream] : at[stream] + count]
        at[stream] += count
    return found.decode()


def finished(call: Call, job: Path, script: str, limit: int = LIMIT) -> None:
    launch(call, job, script, limit=limit)
    wait_for(lambda: state(call, job) == "ended")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo a >&2; sleep 0.6; echo b; sleep 0.6; echo c >&2; sleep 0.6; echo d", "a\nb\nc\nd\n"),
        ("printf a; sleep 0.6; printf b >&2; sleep 0.6; printf c; sleep 0.6", "abc"),
        ("echo a; sleep 0.5; echo b; sleep 0.5; echo c", "a\nb\nc\n"),
        ("true", ""),
        ("echo a; echo b >&2", "a\nb\n"),
    ],
)
def test_the_order_of_both_streams_is_recorded(
    call: Call, job: Path, script: str, expected: str
) -> None:
    finished(call, job, script)
    assert merged(call, job) == expected


@pytest.mark.parametrize(("stream", "entries"), [(1, ""), (2, "0 6\n")])
def test_one_stream_alone_needs_at_most_one_entry(
    call: Call, job: Path, stream: int, entries: str
) -> None:
    finished(call, job, f"for n in 1 2 3; do echo $n >&{stream}; sleep 0.3; done")
    order = job / "tasks/1/order"
    assert (order.read_text() if order.exists() else "") == entries


def test_the_order_is_sent_only_if_it_is_asked_for(call: Call, job: Path) -> None:
    finished(call, job, "echo a >&2; sleep 0.6; echo b; sleep 0.6")
    assert (job / "tasks/1/order").read_text() == "0 2\n"
    assert "order" not in dict(facts(call("mlcr_report_task", str(job), "1")))


def test_a_log_that_is_cut_keeps_its_order_so_far(call: Call, job: Path) -> None:
    script = "echo a >&2; sleep 0.6; echo b; sleep 0.6; head -c 4096 /dev/zero >&2; echo c"
    finished(call, job, script, limit=1024)
    assert merged(call, job).startswith("a\nb\n")


@pytest.mark.parametrize("step", ["0.2", "2"])
def test_what_comes_last_is_last(call: Call, job: Path, step: str) -> None:
    finished(call, job, f"echo a; echo b >&2; sleep {step}; echo c >&2; sleep {step}; echo done")
    # At once: the record is complete when the task has ended.
    assert merged(call, job) == "a\nb\nc\ndone\n"


@pytest.mark.parametrize("script", ["echo a; echo b >&2", "sleep 0.7; echo a; echo b >&2"])
def test_what_comes_directly_before_the_end_has_a_time(call: Call, job: Path, script: str) -> None:
    began = int(time.time())
    finished(call, job, script)
    times = parse_times((job / "tasks/1/times").read_text())
    assert times[-1][1] == (2, 2)
    assert began - 1 <= times[-1][0] <= time.time() + 1


def test_the_times_of_growth_are_recorded(call: Call, job: Path) -> None:
    began = int(time.time())

    def until(sizes: str) -> str:
        return f"until grep -q ' {sizes}$' {job}/tasks/1/times 2>/dev/null; do sleep 0.1; done"

    finished(
        call, job, f"echo a; {until('2 0')}; echo b >&2; {until('2 2')}; echo c; {until('4 2')}"
    )
    entries = parse_times((job / "tasks/1/times").read_text())
    assert [sizes for _, sizes in entries][-1] == (4, 2)
    assert {(2, 0), (2, 2)} <= {sizes for _, sizes in entries}
    seconds = [at for at, _ in entries]
    assert seconds == sorted(seconds)
    # Seconds are cut off twice: of the time of the start, and of the uptime.
    assert began - 1 <= seconds[0]
    assert seconds[-1] <= time.time() + 1
    report = dict(facts(call("mlcr_report_log_times", str(job / "tasks/1"))))
    assert parse_times(report["times"]) == entries
    assert began <= int(report["now"]) <= time.time()
