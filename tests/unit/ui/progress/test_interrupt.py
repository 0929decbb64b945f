# SPDX-License-Identifier: Apache-2.0
"""Only a clear answer stops jobs."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from mlcube_remote.ui.progress.interrupt import ask_to_stop


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reader, writer = os.pipe()
    with os.fdopen(reader) as answers, os.fdopen(writer, "w", buffering=1) as typed:
        yield answers, typed


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "screen").open("w+") as screen:
        yield screen


def shown(screen: TextIO) -> str:
    screen.seek(0)
    return screen.read()


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
    pipe: tuple[TextIO, TextIO], screen: TextIO, typed: str, stops: bool
) -> None:
    pipe[1].write(typed)
    assert ask_to_stop(pipe[0], screen) is stops
    assert shown(screen).endswith("stopping the jobs\n" if stops else "detaching\n")


def test_the_question_names_both_answers_and_the_default(
    pipe: tuple[TextIO, TextIO], screen: TextIO
) -> None:
    pipe[1].write("d\n")
    ask_to_stop(pipe[0], screen)
    assert shown(screen) == (
        "\nInterrupted: [d]etach and leave the jobs running, or [s]top them?\n"
        "Without an answer in 10 s, or with Ctrl-C, it detaches. [d/s] detaching\n"
    )


def test_without_an_answer_the_jobs_continue(pipe: tuple[TextIO, TextIO], screen: TextIO) -> None:
    assert ask_to_stop(pipe[0], screen, timeout=0.01) is False
    assert shown(screen).endswith("[d/s] \ndetaching\n"), "on a line of its own"


def test_after_a_second_interrupt_the_jobs_continue(
    pipe: tuple[TextIO, TextIO], screen: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("select.select", interrupted)
    assert ask_to_stop(pipe[0], screen) is False
    assert shown(screen).endswith("[d/s] \ndetaching\n"), "after the ^C of the terminal"


class ScreenOfAFastUser(io.FileIO):
    """Interrupts this process as soon as a text that ends with "[d/s] " was written."""

    def write(self, text: Any, /) -> int:
        size = super().write(text)
        if bytes(text).endswith(b"[d/s] "):
            os.kill(os.getpid(), signal.SIGINT)
        return size


def test_the_question_is_shown_once_if_the_second_interrupt_comes_at_once(
    pipe: tuple[TextIO, TextIO], tmp_path: Path
) -> None:
    file = tmp_path / "screen"
    with io.TextIOWrapper(io.BufferedWriter(ScreenOfAFastUser(file, "w"))) as screen:
        assert ask_to_stop(pipe[0], screen, timeout=0.01) is False
    assert file.read_text().count("Interrupted:") == 1
