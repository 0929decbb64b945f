# SPDX-License-Identifier: Apache-2.0
"""The output of several jobs is printed job after job."""

from __future__ import annotations

import io

import pytest

from mlcube_remote.events.model import Level, Note
from mlcube_remote.transport.base import Stream
from mlcube_remote.ui.progress import ordered
from mlcube_remote.ui.progress.ordered import OrderedReporter
from mlcube_remote.ui.progress.reporter import make_reporter
from tests.support.outcomes import job_finished, output


def reporter() -> tuple[OrderedReporter, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    made = make_reporter(
        hosts=["a", "b", "c"], quiet=True, verbose=False, json=False, ordered=True,
        stdout=out, stderr=err,
    )  # fmt: skip
    assert isinstance(made, OrderedReporter)
    return made, out, err


def test_a_job_is_shown_when_those_before_it_have_ended() -> None:
    shown, out, err = reporter()
    shown.handle(output(b"c 1\n", "c"))
    shown.handle(output(b"c error\n", "c", stream=Stream.STDERR))
    shown.handle(job_finished("c"))
    shown.handle(output(b"a 1\n", "a"))
    shown.handle(output(b"b 1\n", "b"))
    assert out.getvalue() == "a | a 1\n"
    shown.handle(Note(host="other", at=0.0, level=Level.WARNING, text="at once"))
    assert err.getvalue() == "warning: other: at once\n"
    shown.handle(job_finished("a"))
    assert out.getvalue() == "a | a 1\nb | b 1\n"
    shown.handle(output(b"b 2\n", "b"))
    shown.handle(job_finished("b"))
    assert out.getvalue() == "a | a 1\nb | b 1\nb | b 2\nc | c 1\n"
    assert err.getvalue().endswith("c | c error\n")
    shown.close()


def test_what_is_held_back_is_shown_at_the_end() -> None:
    shown, out, _ = reporter()
    shown.handle(output(b"c\n", "c"))
    shown.handle(output(b"b\n", "b"))
    shown.close()
    assert out.getvalue() == "b | b\nc | c\n"


def test_a_full_disk_costs_the_order_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, __: object) -> None:
        raise OSError(28, "No space left on device")

    shown, out, _ = reporter()
    shown.handle(output(b"c 1\n", "c"))
    monkeypatch.setattr(ordered._Waiting, "add", fail)
    shown.handle(output(b"b 1\n", "b"))
    shown.handle(output(b"c 2\n", "c"))
    shown.close()
    assert out.getvalue() == "c | c 1\nb | b 1\nc | c 2\n"


def test_one_job_needs_no_order() -> None:
    made = make_reporter(hosts=["a"], quiet=True, verbose=False, json=False, ordered=True)
    assert not isinstance(made, OrderedReporter)
