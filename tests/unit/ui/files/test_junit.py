# SPDX-License-Identifier: Apache-2.0
"""``--junit`` writes a report that CI systems read."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.errors import HostUnfitError, StateUnknownError, TransferError, UnreachableError
from mlcube_remote.events.model import (
    Event,
    Stage,
)
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.files.junit import TAIL_SIZE, OutputTails, write_junit
from tests.support.outcomes import output as train_output
from tests.support.outcomes import succeeded as outcome

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"

output = partial(train_output, at=1.0, task="train")

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


def write_report(folder: Path, *outcomes: JobOutcome, events: tuple[Event, ...] = ()) -> ET.Element:
    tails = OutputTails()
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


def results(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Return (class, name, result, type or message) of every case."""
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


def test_failed_tasks_are_failures_and_unusable_hosts_are_errors(tmp_path: Path) -> None:
    ready, later = task("get", Status.SUCCEEDED), task("test", Status.NOT_STARTED)
    root = write_report(
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
    assert results(root) == [
        ("ok", "train", "passed", ""),
        ("bad", "get", "passed", ""),
        ("bad", "train", "failure", "failed"),
        ("bad", "test", "skipped", "not started"),
        ("off", "train", "error", "Unreachable"),
        ("off", "test", "skipped", "not started"),
        ("odd", "train", "error", "lost"),
        ("kept", "get", "error", "Transfer"),
        ("gone", "train", "error", "StateUnknown"),
        ("on", "train", "skipped", "still running"),
        ("not", "train", "skipped", "asked"),
        ("bare", "configure", "error", "HostUnfit"),
    ]
    counts = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "12", "failures": "1", "errors": "5", "skipped": "4"}
    assert root.findtext(".//error") == "hint: ping off"


def test_a_failure_quotes_the_end_of_its_output(tmp_path: Path) -> None:
    failed = outcome(status=Status.FAILED, tasks=(task("train", Status.FAILED, exit_code=1),))
    events = (
        output(b"x" * TAIL_SIZE),
        output(b"Traceback\n", stream=Stream.STDERR),
        output(b"not this", task="other"),
        output(b"nor this", stage=Stage.CONFIGURE),
    )
    root = write_report(tmp_path, failed, events=events)
    text = root.findtext(".//failure")
    assert text is not None
    assert text.endswith("xTraceback\n")
    assert len(text) == TAIL_SIZE


@given(st.binary(max_size=60), st.text(max_size=20))
def test_the_report_is_xml_with_any_text_from_hosts(
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
    root = write_report(folder, failed, events=(output(data, evil, task=evil),))
    assert [case[2] for case in results(root)] == ["failure"]


def test_control_characters_do_not_reach_the_report(tmp_path: Path) -> None:
    failed = outcome(status=Status.FAILED, tasks=(task("train", Status.FAILED, exit_code=1),))
    root = write_report(
        tmp_path, failed, events=(output(b"\x1b[31mred\x1b[0m\x07\x00 \xef\xbf\xbf"),)
    )
    assert root.findtext(".//failure") == "red\\x07\\x00 �"
