# SPDX-License-Identifier: Apache-2.0
"""``--events`` and ``--junit``: what programs are told, and that they can read it."""

from __future__ import annotations

import io
import json
import re
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import HostUnfitError, StateUnknownError, TransferError, UnreachableError
from mlcube_remote.events.model import (
    Event,
    JobFinished,
    JobRetried,
    Level,
    Note,
    Output,
    Stage,
    StageFinished,
    StageProgress,
    StageStarted,
)
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.eventlog import FIELDS, RUN_FIELDS, VERSION, EventLog
from mlcube_remote.ui.junit import LAST, Tails, write_junit

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
PAGE = (Path(__file__).parents[3] / "docs/reference/events.md").read_text()


def outcome(host: str = "a", **changes: Any) -> JobOutcome:
    values: dict[str, Any] = {
        "host": host,
        "platform": "docker",
        "status": Status.SUCCEEDED,
        "tasks": (TaskOutcome(task="train", status=Status.SUCCEEDED, exit_code=0, seconds=2.0),),
        "seconds": {"connect": 0.1},
    }
    return JobOutcome(**(values | changes))


def said(data: bytes, host: str = "a", stream: Stream = Stream.STDOUT, **changes: Any) -> Output:
    about: dict[str, Any] = {"host": host, "at": 1.0, "stage": Stage.RUN, "task": "train"}
    return Output(**(about | changes), stream=stream, data=data)


EVERY_EVENT: tuple[Event, ...] = (
    StageStarted(host="a", at=0.0, stage=Stage.CONNECT),
    StageProgress(host="a", at=0.5, stage=Stage.SYNC, detail="half", fraction=0.5),
    StageFinished(host="a", at=0.7, stage=Stage.SYNC, seconds=0.2, detail="3 files"),
    said(b"hello\n"),
    Note(host="a", at=1.5, level=Level.WARNING, text="odd"),
    JobRetried(host="a", job="07", at=1.6, reason="lost"),
    JobFinished(host="a", at=2.0, outcome=outcome()),
)


def logged(*events: Event) -> list[dict[str, Any]]:
    file = io.StringIO()
    log = EventLog(run_id=RUN_ID, file=file)
    log.started(["a"])
    for event in events:
        log.handle(event)
    log.finished([outcome()], 3.0)
    assert file.getvalue().isascii()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_every_kind_of_event_has_its_line() -> None:
    # By name: attrs makes each class twice.
    assert {each.__name__ for each in FIELDS} == {each.__name__ for each in Event.__subclasses__()}
    assert {type(event) for event in EVERY_EVENT} == set(FIELDS)


def test_the_lines_are_as_documented() -> None:
    head, table = PAGE[: PAGE.index("# JUnit")].split("| event | further fields | when |")
    common = re.findall(r"^\| `(\w+)` \|", head, re.MULTILINE)
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", table, re.MULTILINE)
    documented = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows}
    assert documented == {
        name: [*fields] for name, fields in [*FIELDS.values(), *RUN_FIELDS.items()]
    }
    assert common[-2:] == ["host", "job"]
    for line in logged(*EVERY_EVENT):
        shared = common[:-2] if line["event"] in RUN_FIELDS else common
        assert [*line] == [*shared, *documented[line["event"]]]
        assert (line["version"], line["run"]) == (VERSION, RUN_ID)


def test_the_documented_line_is_one_of_those() -> None:
    (example,) = re.findall(r"```json\n(.*)\n```", PAGE)
    (real,) = (line for line in logged(EVERY_EVENT[2]) if line["event"] == "stage-finished")
    assert [*json.loads(example)] == [*real]


def test_values_are_words_and_numbers() -> None:
    lines = logged(*EVERY_EVENT)
    assert [line["event"] for line in lines] == [
        "run-started",
        "stage-started",
        "stage-progress",
        "stage-finished",
        "output",
        "note",
        "job-moved",
        "job-finished",
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
    assert (lines[8]["status"], lines[8]["exit_code"], lines[8]["at"]) == ("succeeded", 0, 3.0)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_the_texts_of_a_stream_are_its_bytes_however_they_came(
    data: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [said(data[begin:end]) for begin, end in pairwise(edges)]
    lines = logged(*pieces, JobFinished(host="a", at=2.0, outcome=outcome()))
    texts = [line["text"] for line in lines if line["event"] == "output"]
    assert "".join(texts).encode("utf-8", "surrogateescape") == data


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    lines = logged(said(b"caf\xc3"), said(b"\xa9", stream=Stream.STDERR), said(b"\xa9!"))
    texts = [(line["stream"], line["text"]) for line in lines if line["event"] == "output"]
    assert texts == [("stdout", "caf"), ("stderr", "\udca9"), ("stdout", "é!")]


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_ends_no_run() -> None:
    log = EventLog(run_id=RUN_ID, file=Full())
    for event in EVERY_EVENT:
        log.handle(event)
    assert log.problem is not None
    assert log.problem.errno == 28


def test_lines_of_many_threads_stay_whole() -> None:
    file = io.StringIO()
    log = EventLog(run_id=RUN_ID, file=file)

    def say(host: str) -> None:
        for _ in range(200):
            log.handle(said(b"x" * 50, host))

    threads = [threading.Thread(target=say, args=host) for host in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(lines) == 800
    assert {line["text"] for line in lines} == {"x" * 50}


ALLOWED = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"failure", "error", "skipped"},
    "failure": set(),
    "error": set(),
    "skipped": set(),
}
REQUIRED = {
    "testsuites": {"tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "hostname"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
}


def junit(folder: Path, *outcomes: JobOutcome, events: tuple[Event, ...] = ()) -> ET.Element:
    tails = Tails()
    for event in events:
        tails.handle(event)
    write_junit(folder / "report.xml", RUN_ID, outcomes, tails)
    root = ET.parse(folder / "report.xml").getroot()  # noqa: S314 - it is ours
    for element in root.iter():
        assert {child.tag for child in element} <= ALLOWED[element.tag]
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
        if element.tag == "testcase":
            assert len(element) <= 1
    return root


def verdicts(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Return (class, name, verdict, type or message) of every case."""
    return [
        (
            case.attrib["classname"],
            case.attrib["name"],
            case[0].tag if len(case) else "passed",
            case[0].get("type") or case[0].attrib["message"] if len(case) else "",
        )
        for case in root.iter("testcase")
    ]


def task(name: str, status: Status, **changes: Any) -> TaskOutcome:
    return TaskOutcome(task=name, status=status, **changes)


def test_tasks_fail_and_hosts_err(tmp_path: Path) -> None:
    ready, later = task("get", Status.SUCCEEDED), task("test", Status.NOT_STARTED)
    root = junit(
        tmp_path,
        outcome("ok"),
        outcome(
            "bad",
            status=Status.FAILED,
            tasks=(ready, task("train", Status.FAILED, exit_code=3), later),
        ),
        outcome(
            "off",
            status=Status.NOT_STARTED,
            tasks=(task("train", Status.NOT_STARTED), later),
            error=UnreachableError("off", "no route", hint="ping off"),
        ),
        outcome("odd", status=Status.LOST, tasks=(task("train", Status.LOST, reason="rebooted"),)),
        outcome("kept", status=Status.FAILED, tasks=(ready,), error=TransferError("kept", "disk")),
        outcome(
            "gone",
            status=Status.UNKNOWN,
            tasks=(task("train", Status.UNKNOWN),),
            error=StateUnknownError("gone", "cut"),
        ),
        outcome("on", status=Status.RUNNING, tasks=(task("train", Status.RUNNING),)),
        outcome(
            "not", status=Status.CANCELLED, tasks=(task("train", Status.CANCELLED, reason="asked"),)
        ),
        outcome("bare", status=Status.FAILED, tasks=(), error=HostUnfitError("bare", "no rsync")),
    )
    assert verdicts(root) == [
        ("ok", "train", "passed", ""),
        ("bad", "get", "passed", ""),
        ("bad", "train", "failure", "failed"),
        ("bad", "test", "skipped", "not started"),
        ("off", "train", "error", "Unreachable"),
        ("off", "test", "skipped", "not started"),
        ("odd", "train", "error", "lost"),
        ("kept", "get", "error", "Transfer"),
        ("gone", "train", "error", "StateUnknown"),
        ("on", "train", "skipped", "it goes on"),
        ("not", "train", "skipped", "asked"),
        ("bare", "configure", "error", "HostUnfit"),
    ]
    counts = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "12", "failures": "1", "errors": "5", "skipped": "4"}
    assert root.findtext(".//error") == "hint: ping off"


def test_a_failure_quotes_the_end_of_what_its_task_wrote(tmp_path: Path) -> None:
    failed = outcome(status=Status.FAILED, tasks=(task("train", Status.FAILED, exit_code=1),))
    events = (
        said(b"x" * LAST),
        said(b"Traceback\n", stream=Stream.STDERR),
        said(b"not this", task="other"),
        said(b"nor this", stage=Stage.CONFIGURE),
    )
    root = junit(tmp_path, failed, events=events)
    text = root.findtext(".//failure")
    assert text is not None
    assert text.endswith("xTraceback\n")
    assert len(text) == LAST


@given(st.binary(max_size=60), st.text(max_size=20))
def test_whatever_hosts_send_the_report_is_xml(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, text: str
) -> None:
    folder = tmp_path_factory.mktemp("junit")
    evil = data.decode("utf-8", "surrogateescape") + text
    failed = outcome(
        evil,
        status=Status.FAILED,
        tasks=(task(evil, Status.FAILED, exit_code=1, reason=evil, started=10**15),),
        parameters={evil: evil},
    )
    root = junit(folder, failed, events=(said(data, evil, task=evil),))
    assert [case[2] for case in verdicts(root)] == ["failure"]


def test_colours_and_bells_do_not_reach_the_report(tmp_path: Path) -> None:
    failed = outcome(status=Status.FAILED, tasks=(task("train", Status.FAILED, exit_code=1),))
    root = junit(tmp_path, failed, events=(said(b"\x1b[31mred\x1b[0m\x07\x00 \xef\xbf\xbf"),))
    assert root.findtext(".//failure") == "red\\x07\\x00 �"
