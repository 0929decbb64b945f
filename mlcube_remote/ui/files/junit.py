# SPDX-License-Identifier: Apache-2.0
"""``--junit FILE``: write a report for CI systems, with a test case for each task on each host.

A failed task is a failure, an unusable host is an error, and tasks that did not run because of
either are skipped. The report uses only the part of the format that all CI systems read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs

from mlcube_remote.events.failure import FailureKind, failure_kind, task_failure_kind
from mlcube_remote.events.model import Event, Output, Stage
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status, TaskOutcome
from mlcube_remote.events.output_state import unchanged_outputs
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.ui.errors import task_reason
from mlcube_remote.ui.text import one_line, sanitise

TAIL_SIZE = 16 * 1024
"""Bytes at the end of a task's output that a failure quotes."""

_FAILURES = frozenset({FailureKind.TASK, FailureKind.STALE_OUTPUT, FailureKind.HOST})

_NOT_XML = re.compile("[\ufffe\uffff]")


@attrs.define
class OutputTails:
    """Stores the end of each task's output."""

    _tails: dict[tuple[str, str | None], bytearray] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Store the output of an event; may be called from many threads."""
        if not isinstance(event, Output) or event.stage is not Stage.RUN:
            return
        with self._lock:
            tail = self._tails.setdefault((event.name, event.task), bytearray())
            tail += event.data[-TAIL_SIZE:]
            del tail[:-TAIL_SIZE]

    def text(self, job: str, task: str) -> str:
        """Return the end of a task's output, of both streams together."""
        return bytes(self._tails.get((job, task), b"")).decode("utf-8", "backslashreplace")


def write_junit(
    path: Path, run_id: str, outcomes: Sequence[JobOutcome], tails: OutputTails
) -> None:
    """Write the report; an existing file is replaced.

    Args:
        path: The file.
        run_id: The run.
        outcomes: The outcomes of its jobs.
        tails: The ends of the tasks' output.

    Raises:
        OSError: The file cannot be written.
    """
    suites = [_suite(run_id, outcome, tails) for outcome in outcomes]
    root = ET.Element("testsuites", {"name": f"mlcube-remote run {run_id}", **_counts(suites)})
    root.extend(suites)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    write_atomically(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', mode=0o666)


def _counts(elements: Sequence[ET.Element]) -> dict[str, str]:
    """Return the numbers of test cases in these elements, and their seconds."""
    cases = [case for element in elements for case in element.iter("testcase")]
    counts = {
        name: str(sum(case.find(tag) is not None for case in cases))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    seconds = sum(float(case.get("time", 0)) for case in cases)
    return {"tests": str(len(cases)), **counts, "time": f"{seconds:.3f}"}


def _suite(run_id: str, outcome: JobOutcome, tails: OutputTails) -> ET.Element:
    cases = _cases(outcome, tails)
    suite = ET.Element("testsuite", {"name": _attribute(outcome.label), **_counts(cases)})
    suite.set("hostname", _attribute(outcome.host))
    start = min((task.started for task in outcome.tasks if task.started is not None), default=-1)
    if 0 <= start < 2**32:
        suite.set("timestamp", f"{datetime.fromtimestamp(start, timezone.utc):%Y-%m-%dT%H:%M:%S}")
    properties = ET.SubElement(suite, "properties")
    values = {"run": run_id, "platform": outcome.platform, **outcome.parameters}
    for name, value in values.items():
        ET.SubElement(properties, "property", name=_attribute(name), value=_attribute(value))
    suite.extend(cases)
    return suite


def _cases(outcome: JobOutcome, tails: OutputTails) -> list[ET.Element]:
    """Return a case for each task; without tasks, one for the preparation of the host."""
    if not outcome.tasks:
        case = _case(outcome, "configure", None)
        if failure_kind(outcome) is not FailureKind.NONE:
            _add_error(case, outcome)
        return [case]
    cases = []
    is_explained = False  # whether a case says why the job failed
    for task in outcome.tasks:
        case = _case(outcome, task.task, task.seconds)
        cases.append(case)
        if task.status is not Status.NOT_STARTED:
            is_explained |= _add_result(case, outcome, task, tails)
        elif not is_explained and failure_kind(outcome) in {FailureKind.HOST, FailureKind.UNKNOWN}:
            _add_error(case, outcome)
            is_explained = True
        else:
            ET.SubElement(case, "skipped", message="not started")
    if not is_explained and failure_kind(outcome) in {FailureKind.HOST, FailureKind.PULL}:
        # All tasks succeeded, but their outputs could not be downloaded.
        _add_error(cases[-1], outcome)
    return cases


def _case(outcome: JobOutcome, name: str, seconds: float | None) -> ET.Element:
    attributes = {"classname": _attribute(outcome.label), "name": _attribute(name)}
    return ET.Element("testcase", {**attributes, "time": f"{seconds or 0:.3f}"})


def _add_result(
    case: ET.Element, outcome: JobOutcome, task: TaskOutcome, tails: OutputTails
) -> bool:
    """Add the result of a task that has started, unless it succeeded.

    Returns:
        Whether this task is why the job failed.
    """
    fault = task_failure_kind(task)
    if task.status in OPEN:
        waits = task.status is Status.QUEUED
        ET.SubElement(case, "skipped", message="still queued" if waits else "still running")
    elif fault is FailureKind.CANCELLED:
        ET.SubElement(case, "skipped", message=_attribute(task_reason(task)))
    elif fault is FailureKind.UNKNOWN:
        _add_error(case, outcome)
    elif fault in _FAILURES:
        tag = "error" if fault is FailureKind.HOST else "failure"
        output = tails.text(outcome.name, task.task)
        _add_element(case, tag, task.status.value, task_reason(task), output)
    if unchanged := unchanged_outputs(task.outputs):
        text = f"unchanged outputs, which are no results of this run: {', '.join(unchanged)}"
        ET.SubElement(case, "system-out").text = _clean(sanitise(text))
    return fault in _FAILURES or fault is FailureKind.UNKNOWN


def _add_error(case: ET.Element, outcome: JobOutcome) -> None:
    """Add the error that ended a job."""
    error = outcome.error
    if error is None:
        _add_element(case, "error", outcome.status.value, outcome.status.value, "")
        return
    hint = f"hint: {error.hint}" if error.hint else ""
    _add_element(case, "error", error.kind, error.message, hint)


def _add_element(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    element = ET.SubElement(case, tag, type=kind, message=_attribute(message))
    element.text = _clean(sanitise(text)) or None


def _attribute(text: str) -> str:
    """Return text for an attribute, as one line: XML turns line breaks in attributes to spaces."""
    return _clean(one_line(text))


def _clean(text: str) -> str:
    """Return text without the characters that XML forbids and ``sanitise`` keeps."""
    return _NOT_XML.sub("�", text)
