# SPDX-License-Identifier: Apache-2.0
"""Only a clear answer stops jobs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from mlcube_remote.ui.progress.interrupt import ask_to_stop


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reader, writer = os.pipe()
    with os.fdopen(reader) as answers, os.fdopen(writer, "w", buffering=1) as typed:
        yield answers, typed


@pytest.mark.parametrize(
    ("typed", "stops"),
    [
        ("s\n", True),
        ("stop\n", True),
        (" S \n", True),
        ("d\n", False),
        ("\n", False),
        ("x\n", False),
    ],
)
def test_only_a_clear_answer_stops_the_jobs(
    pipe: tuple[TextIO, TextIO], typed: str, stops: bool
) -> None:
    pipe[1].write(typed)
    screen = io.StringIO()
    assert ask_to_stop(pipe[0], screen) is stops
    assert screen.getvalue().endswith("stopping the jobs\n" if stops else "detaching\n")


def test_the_question_names_both_answers_and_the_default(pipe: tuple[TextIO, TextIO]) -> None:
    pipe[1].write("d\n")
    screen = io.StringIO()
    ask_to_stop(pipe[0], screen)
    assert screen.getvalue() == (
        "\nInterrupted: [d]etach and leave the jobs running, or [s]top them?\n"
        "Without an answer in 10 s, or with Ctrl-C, it detaches. [d/s] detaching\n"
    )


def test_without_an_answer_the_jobs_continue(pipe: tuple[TextIO, TextIO]) -> None:
    screen = io.StringIO()
    assert ask_to_stop(pipe[0], screen, timeout=0.01) is False
    assert screen.getvalue().endswith("[d/s] \ndetaching\n"), "on a line of its own"


def test_after_a_second_interrupt_the_jobs_continue(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("select.select", interrupted)
    screen = io.StringIO()
    assert ask_to_stop(pipe[0], screen) is False
    assert screen.getvalue().endswith("[d/s] \ndetaching\n"), "after the ^C of the terminal"
