# SPDX-License-Identifier: Apache-2.0
"""``--junit FILE``: a test case for each task on each host, as every CI system reads them.

A task that fails is a failure; a host that cannot be used is an error; what did not run because of
either was skipped. No two programs agree on more of the format than what stands here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs

from mlcube_remote.dispatch.events import Event, Output, Stage
from mlcube_remote.dispatch.fault import Fault, fault_of, fault_of_task
from mlcube_remote.dispatch.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.runs.atomic import write_atomically
from mlcube_remote.ui.text import one_line, sanitise

LAST = 16 * 1024
"""Bytes of a task's output that a failure quotes, the last of them."""

_NOT_XML = re.compile("[\ufffe\uffff]")


@attrs.define
class Tails:
    """Keeps the end of what each task writes."""

    _kept: dict[tuple[str, str | None], bytearray] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def handle(self, event: Event) -> None:
        """Note an event; may be called from many threads."""
        if not isinstance(event, Output) or event.stage is not Stage.RUN:
            return
        with self._lock:
            tail = self._kept.setdefault((event.name, event.task), bytearray())
            tail += event.data[-LAST:]
            del tail[:-LAST]

    def of(self, job: str, task: str) -> str:
        """Return the end of what a task wrote, on both streams."""
        return bytes(self._kept.get((job, task), b"")).decode("utf-8", "backslashreplace")


def write_junit(path: Path, run_id: str, outcomes: Sequence[JobOutcome], tails: Tails) -> None:
    """Write the report, in the place of an older one.

    Args:
        path: Where to.
        run_id: The run.
        outcomes: How its jobs ended.
        tails: What their tasks wrote last.

    Raises:
        OSError: It cannot be written.
    """
    suites = [_suite(run_id, outcome, tails) for outcome in outcomes]
    root = ET.Element("testsuites", {"name": f"mlcube-remote run {run_id}", **_sums(suites)})
    root.extend(suites)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    write_atomically(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', mode=0o666)


def _sums(elements: Sequence[ET.Element]) -> dict[str, str]:
    """Return the counts of all that is inside, and its seconds."""
    cases = [case for element in elements for case in element.iter("testcase")]
    counts = {
        name: str(sum(case.find(tag) is not None for case in cases))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    seconds = sum(float(case.get("time", 0)) for case in cases)
    return {"tests": str(len(cases)), **counts, "time": f"{seconds:.3f}"}


def _suite(run_id: str, outcome: JobOutcome, tails: Tails) -> ET.Element:
    cases = _cases(outcome, tails)
    suite = ET.Element("testsuite", {"name": _attribute(outcome.label), **_sums(cases)})
    suite.set("hostname", _attribute(outcome.host))
    begun = [task.started for task in outcome.tasks if task.started is not None]
    if begun and 0 <= min(begun) < 2**32:
        suite.set(
            "timestamp", f"{datetime.fromtimestamp(min(begun), timezone.utc):%Y-%m-%dT%H:%M:%S}"
        )
    properties = ET.SubElement(suite, "properties")
    given = {"run": run_id, "platform": outcome.platform, **outcome.parameters}
    for name, value in given.items():
        ET.SubElement(properties, "property", name=_attribute(name), value=_attribute(value))
    suite.extend(cases)
    return suite


def _cases(outcome: JobOutcome, tails: Tails) -> list[ET.Element]:
    """Return a case for each task; where none was to run, one for making the host ready."""
    if not outcome.tasks:
        case = _case(outcome, "configure", None)
        if fault_of(outcome) is not Fault.NONE:
            _tell_error(case, outcome)
        return [case]
    cases = []
    blamed = False
    for task in outcome.tasks:
        case = _case(outcome, task.task, task.seconds)
        cases.append(case)
        if _describe(case, outcome, task, tails):
            blamed = True
        elif task.status is Status.NOT_STARTED:
            if not blamed and fault_of(outcome) in {Fault.HOST, Fault.UNKNOWN}:
                _tell_error(case, outcome)
                blamed = True
            else:
                ET.SubElement(case, "skipped", message="not started")
    if not blamed and fault_of(outcome) is Fault.HOST:
        # All tasks ended well, and what they made did not come home.
        _tell_error(cases[-1], outcome)
    return cases


def _case(outcome: JobOutcome, name: str, seconds: float | None) -> ET.Element:
    attributes = {"classname": _attribute(outcome.label), "name": _attribute(name)}
    return ET.Element("testcase", {**attributes, "time": f"{seconds or 0:.3f}"})


def _describe(case: ET.Element, outcome: JobOutcome, task: TaskOutcome, tails: Tails) -> bool:
    """Say how a task ended that did not end well.

    Returns:
        Whether that is why the job did not succeed.
    """
    fault = fault_of_task(task)
    reason = task.reason or f"exit code {task.exit_code}"
    if task.status is Status.RUNNING:
        ET.SubElement(case, "skipped", message="it goes on")
    elif fault is Fault.CANCELLED:
        ET.SubElement(case, "skipped", message=_attribute(reason))
    elif fault is Fault.TASK:
        _tell(case, "failure", task.status.value, reason, tails.of(outcome.name, task.task))
    elif fault is Fault.UNKNOWN:
        _tell_error(case, outcome)
    elif fault is Fault.HOST:
        _tell(case, "error", task.status.value, reason, tails.of(outcome.name, task.task))
    return fault in {Fault.TASK, Fault.HOST, Fault.UNKNOWN}


def _tell_error(case: ET.Element, outcome: JobOutcome) -> None:
    error = outcome.error
    if error is None:
        _tell(case, "error", outcome.status.value, outcome.status.value, "")
        return
    kind = type(error).__name__.removesuffix("Error")
    _tell(case, "error", kind, error.message, f"hint: {error.hint}" if error.hint else "")


def _tell(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    element = ET.SubElement(case, tag, type=kind, message=_attribute(message))
    element.text = _clean(sanitise(text)) or None


def _attribute(text: str) -> str:
    """Return text that stays as it is in an attribute: XML makes spaces of line breaks there."""
    return _clean(one_line(text))


def _clean(text: str) -> str:
    """Return text of characters that XML may hold; what steers a terminal is gone already."""
    return _NOT_XML.sub("�", text)
