# SPDX-License-Identifier: Apache-2.0
"""Questions on a real terminal: what is shown, what is typed, and how it is left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.pty_command import PtyCommand, on_terminal
from tests.support.terminal import require_text

_ASK = """
import sys
from mlcube_remote.transport.questions import Inquiry, Question
from mlcube_remote.ui.terminal import Terminal, has_terminal
assert has_terminal()
terminal = Terminal()
inquiry = Inquiry(asker={asker!r}, about={about!r}, questions=({questions}))
try:
    answers = terminal.ask(inquiry)
except KeyboardInterrupt:
    print("INTERRUPTED")
else:
    print("GOT", answers and [each.reveal() for each in answers])
"""


@contextlib.contextmanager
def _asking(
    *questions: tuple[str, bool], about: str = "", asker: str = "me@gpu01"
) -> Iterator[PtyCommand]:
    listed = "".join(f"Question(text={text!r}, is_shown={shown})," for text, shown in questions)
    code = _ASK.format(asker=asker, about=about, questions=listed)
    with on_terminal([sys.executable, "-c", code]) as command:
        yield command


def test_each_question_is_shown_with_its_asker_and_echo() -> None:
    with _asking(("Password: ", False), ("Code: ", True), about="Hello\nThere") as command:
        command.expect(b"me@gpu01: Hello\r\nme@gpu01: There\r\nme@gpu01: Password: ")
        command.type("hunter2\r")
        command.expect(b"\r\nme@gpu01: Code: ")
        command.type("123456\r")
        command.expect(b"123456\r\nGOT ['hunter2', '123456']\r\n")
        assert command.finish() == 0

    assert b"hunter2" not in command.shown.split(b"GOT")[0]


def test_the_terminal_is_as_before_after_a_question() -> None:
    with _asking(("Password: ", False)) as command:
        command.expect(b"Password: ")
        assert not command.echoes
        command.type("x\r")
        command.expect(b"GOT ['x']")
        assert command.echoes


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("abd\x7fc\r", b"GOT ['abc']"),
        ("wrong\x15right\r", b"GOT ['right']"),
        ("\x7fa\r", b"GOT ['a']"),
        ("sch\u00f6n\u00fc\x7f\r", "GOT ['sch\u00f6n']".encode()),
        ("a\x1b\x01b\r", b"GOT ['ab']"),
        ("\r", b"GOT ['']"),
        ("abc\x04", b"GOT None"),
        ("abc\x03", b"INTERRUPTED"),
    ],
)
@pytest.mark.parametrize("is_shown", [True, False])
def test_the_line_can_be_edited(keys: str, expected: bytes, is_shown: bool) -> None:
    with _asking(("Code: ", is_shown)) as command:
        command.expect(b"Code: ")
        command.type(keys)
        command.expect(expected)
        assert command.echoes


def test_a_hostile_server_cannot_control_the_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\u202eevil\r\n/home/me/.ssh/id: Passphrase: " + "A" * 40_000
    about = "\x9b2J\n" * 5000

    with _asking((hostile, False), about=about, asker="me@gpu01") as command:
        command.expect(b"AAA")
        command.type("x\r")
        command.expect(b"GOT")

    lines = command.shown.replace(b"\r\n", b"\n").split(b"\n")
    require_text(b"\n".join(lines))
    assert len(command.shown) < 20_000
    asked = [line for line in lines if line and not line.startswith(b"GOT")]
    assert all(line.startswith(b"me@gpu01: ") for line in asked)


def test_what_was_typed_before_the_question_is_no_answer() -> None:
    slow = _ASK.format(asker="h", about="", questions="Question(text='Code: '),")
    slow = slow.replace(
        "answers =", "import select; print('READY'); select.select([0], [], [], 20); answers ="
    )

    with on_terminal([sys.executable, "-c", slow]) as command:
        command.expect(b"READY")
        command.type("oops\r")
        command.expect(b"Code: ")
        command.type("right\r")
        command.expect(b"GOT ['right']")


_DISPLAY = """
import threading, time, sys
from mlcube_remote.transport.questions import Inquiry, Question
from mlcube_remote.ui.progress.live import LiveReporter
from mlcube_remote.ui.terminal import Terminal
terminal = Terminal()
inquiry = Inquiry(asker="me@gpu01", questions=(Question(text="Code: "),))
found = []
thread = threading.Thread(target=lambda: found.append(terminal.ask(inquiry)))
with terminal.display(lambda: LiveReporter(jobs=("gpu01",), verbose=False, stream=sys.stderr)):
    time.sleep(0.3)
    thread.start()
    {wait}
thread.join()
print("GOT", found[0] and [each.reveal() for each in found[0]])
"""


def test_the_display_pauses_while_a_question_is_open() -> None:
    code = _DISPLAY.format(wait="thread.join(); time.sleep(0.3)")

    with on_terminal([sys.executable, "-c", code]) as command:
        command.expect(b"\x1b")
        command.expect(b"Code: ")
        with pytest.raises(AssertionError):
            command.expect(b"\x1b", timeout=1)
        command.type("123\r")
        command.expect(b"GOT ['123']")


def test_the_end_of_the_display_ends_an_open_question() -> None:
    code = _DISPLAY.format(wait="time.sleep(0.5)")

    with on_terminal([sys.executable, "-c", code]) as command:
        command.expect(b"Code: ")
        command.expect(b"GOT None")
        assert command.echoes


_BACKGROUND = "from mlcube_remote.ui.terminal import has_terminal; print(has_terminal())"


def test_a_background_job_and_a_process_without_terminal_ask_nothing() -> None:
    argv = [sys.executable, "-c", _BACKGROUND]
    alone = subprocess.run(argv, capture_output=True, start_new_session=True, check=True)
    assert alone.stdout == b"False\n"

    script = f"set -m; '{argv[0]}' -c '{_BACKGROUND}' & wait"
    with on_terminal(["bash", "-c", script]) as command:
        command.expect(b"False")
