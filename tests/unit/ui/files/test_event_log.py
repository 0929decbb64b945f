# SPDX-License-Identifier: Apache-2.0
"""``--events`` writes the documented JSON lines."""

from __future__ import annotations

import io
import json
import re
import threading
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.events.model import (
    ConnectionLost,
    ConnectionRestored,
    Event,
    JobFinished,
    JobQueued,
    JobRetried,
    Level,
    Note,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
    TrialStarted,
)
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.files.event_log import FIELDS, RUN_FIELDS, VERSION, EventLog
from tests.support.outcomes import output as train_output
from tests.support.outcomes import succeeded as outcome

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"


PAGE = (Path(__file__).parents[4] / "docs/reference/events.md").read_text()

output = partial(train_output, at=1.0, task="train")

EVERY_EVENT: tuple[Event, ...] = (
    StageStarted(host="a", at=0.0, stage=Stage.CONNECT),
    StageProgress(host="a", at=0.5, stage=Stage.SYNC, detail="half", fraction=0.5),
    StageFinished(host="a", at=0.7, stage=Stage.SYNC, seconds=0.2, detail="3 files"),
    output(b"hello\n"),
    Note(host="a", at=1.5, level=Level.WARNING, text="odd"),
    JobRetried(host="a", job="07", at=1.6, reason="lost"),
    JobFinished(host="a", at=2.0, outcome=outcome()),
    TrialStarted(host="a", job="07", at=2.1, parameters={"lr": "0.1"}),
    JobQueued(host="a", at=2.15, reason="Priority"),
    ConnectionLost(host="a", at=2.2, reason="connection lost", retry_in=0.5),
    ConnectionRestored(host="a", at=2.3, seconds=2.0),
)


def write_log(*events: Event) -> list[dict[str, Any]]:
    file = io.StringIO()
    log = EventLog(run_id=RUN_ID, file=file)
    log.write_start(["a"])
    for event in events:
        log.handle(event)
    log.write_end([outcome()], 3.0)
    assert file.getvalue().isascii()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_every_event_class_has_a_line() -> None:
    # By name: attrs makes each class twice.
    assert {each.__name__ for each in FIELDS} == {each.__name__ for each in Event.__subclasses__()}
    assert {type(event) for event in EVERY_EVENT} == set(FIELDS)


def test_lines_have_the_documented_fields() -> None:
    head, table = PAGE[: PAGE.index("# JUnit")].split("| event | further fields | when |")
    common = re.findall(r"^\| `(\w+)` \|", head, re.MULTILINE)
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", table, re.MULTILINE)
    documented = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows}
    assert documented == {
        name: [*fields] for name, fields in [*FIELDS.values(), *RUN_FIELDS.items()]
    }
    assert common[-2:] == ["host", "job"]
    for line in write_log(*EVERY_EVENT):
        shared = common[:-2] if line["event"] in RUN_FIELDS else common
        assert [*line] == [*shared, *documented[line["event"]]]
        assert (line["version"], line["run"]) == (VERSION, RUN_ID)


def test_the_documented_example_has_the_fields_of_a_real_line() -> None:
    (example,) = re.findall(r"```json\n(.*)\n```", PAGE)
    (real,) = (line for line in write_log(EVERY_EVENT[2]) if line["event"] == "stage-finished")
    assert [*json.loads(example)] == [*real]


def test_values_are_text_and_numbers() -> None:
    lines = write_log(*EVERY_EVENT)
    assert [line["event"] for line in lines] == [
        "run-started",
        "stage-started",
        "stage-progress",
        "stage-finished",
        "output",
        "note",
        "job-moved",
        "job-finished",
        "trial-started",
        "job-queued",
        "connection-lost",
        "connection-restored",
        "run-finished",
    ]
    assert (lines[3]["stage"], lines[3]["seconds"], lines[3]["host"]) == ("sync", 0.2, "a")
    assert (lines[4]["stream"], lines[4]["text"], lines[4]["task"]) == (
        "stdout",
        "hello\n",
        "train",
    )
    assert (lines[5]["level"], lines[6]["job"]) == ("warning", "07")
    assert lines[7]["outcome"]["status"] == "succeeded"
    assert lines[8]["parameters"] == {"lr": "0.1"}
    assert lines[9]["reason"] == "Priority"
    assert (lines[10]["reason"], lines[10]["retry_in"]) == ("connection lost", 0.5)
    assert (lines[-1]["status"], lines[-1]["exit_code"], lines[-1]["at"]) == ("succeeded", 0, 3.0)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_the_texts_of_a_stream_contain_all_its_bytes(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [output(data[begin:end]) for begin, end in pairwise(edges)]
    lines = write_log(*pieces, JobFinished(host="a", at=2.0, outcome=outcome()))
    texts = [line["text"] for line in lines if line["event"] == "output"]
    assert "".join(texts).encode("utf-8", "surrogateescape") == data


def test_a_character_split_between_two_events_is_written_once() -> None:
    lines = write_log(output(b"caf\xc3"), output(b"\xa9", stream=Stream.STDERR), output(b"\xa9!"))
    texts = [(line["stream"], line["text"]) for line in lines if line["event"] == "output"]
    assert texts == [("stdout", "caf"), ("stderr", "\udca9"), ("stdout", "é!")]


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_does_not_end_the_run() -> None:
    log = EventLog(run_id=RUN_ID, file=Full())
    for event in EVERY_EVENT:
        log.handle(event)
    assert log.problem is not None
    assert log.problem.errno == 28


def test_lines_of_many_threads_do_not_mix() -> None:
    file = io.StringIO()
    log = EventLog(run_id=RUN_ID, file=file)

    def say(host: str) -> None:
        for _ in range(200):
            log.handle(output(b"x" * 50, host))

    threads = [threading.Thread(target=say, args=host) for host in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(lines) == 800
    assert {line["text"] for line in lines} == {"x" * 50}
