# SPDX-License-Identifier: Apache-2.0
"""A text that changes is shown until Ctrl-C, on a terminal and in a file."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from mlcube_remote.ui.progress.screen import show_repeatedly


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def texts(count: int) -> Callable[[], str]:
    """Return a function that returns some texts, and then is interrupted."""
    numbers = iter(range(count))

    def text() -> str:
        try:
            return f"text {next(numbers)}"
        except StopIteration:
            raise KeyboardInterrupt from None

    return text


def test_a_file_gets_one_text_after_the_other() -> None:
    stream = io.StringIO()
    show_repeatedly(texts(2), stream, interval=0.001)
    assert stream.getvalue() == "text 0\n\ntext 1\n\n"


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_terminal_keeps_the_last_text(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stream = _Terminal()
    show_repeatedly(texts(2), stream, interval=0.001)
    shown = stream.getvalue()
    assert "Ctrl-C ends" in shown
    assert shown.endswith("text 1\n")
