# SPDX-License-Identifier: Apache-2.0
"""Ask the user on the terminal, while the display of jobs pauses.

The questions are asked on ``/dev/tty``: standard input and output may be files.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

import attrs

from mlcube_remote.formatting import escape_unprintable
from mlcube_remote.secret import Secret
from mlcube_remote.transport.questions import Inquiry
from mlcube_remote.transport.raw_mode import Keys, raw_mode

if TYPE_CHECKING:  # slow to import, and most commands have no display
    from mlcube_remote.ui.progress.base import Reporter

ANSWER_TIMEOUT_S = 120.0
"""sshd's default LoginGraceTime: after this the server does not wait any more."""

_TTY = "/dev/tty"
_CHECK_INTERVAL_MS = 200
_MAX_ANSWER = 4096
_MAX_LINES, _MAX_WIDTH = 40, 200
_ENTER, _ERASE, _CLEAR, _INTERRUPT, _END = b"\r\n", b"\x7f\b", b"\x15", b"\x03", b"\x04"


class _InterruptedError(Exception):
    """The user typed Ctrl-C."""


@attrs.define
class Terminal:
    """The terminal of one command, for its display and its questions."""

    _reporter: Reporter | None = attrs.field(default=None, init=False)
    _is_closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    """Held while a question is open."""

    @contextlib.contextmanager
    def display(self, open_reporter: Callable[[], Reporter]) -> Iterator[Reporter]:
        """Show jobs during the block. A question that is open is answered first."""
        with self._lock:
            reporter = self._reporter = open_reporter()
        try:
            yield reporter
        finally:
            # A question that is open now ends without an answer.
            self._is_closed.set()
            with self._lock:
                self._reporter = None
                reporter.close()

    def ask(self, inquiry: Inquiry) -> list[Secret] | None:
        """See :meth:`mlcube_remote.transport.questions.Screen.ask`."""
        try:
            # Before the question is shown: what is typed from then on is the answer.
            with self._lock, self._paused(), _open_tty() as tty, raw_mode(tty, Keys.FOR_QUESTION):
                if inquiry.is_over():
                    return None
                show = _Writer(tty)
                if inquiry.about:
                    show.lines(inquiry.asker, inquiry.about)
                answers = []
                for question in inquiry.questions:
                    show.lines(inquiry.asker, question.text or "answer: ", end="")
                    answer = self._read(tty, inquiry, is_shown=question.is_shown)
                    show.write("\n")
                    if answer is None:
                        return None
                    answers.append(Secret(answer))
                return answers
        except _InterruptedError:
            # Only now, because the terminal is as it was.
            os.kill(os.getpid(), signal.SIGINT)
            return None
        except OSError:
            # The terminal is gone.
            return None

    def show(self, asker: str, text: str) -> None:
        """See :meth:`mlcube_remote.transport.questions.Screen.show`."""
        with contextlib.suppress(OSError), self._lock, self._paused(), _open_tty() as tty:
            _Writer(tty).lines(asker, text)

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        if self._reporter is None:
            yield
        else:
            with self._reporter.paused():
                yield

    def _read(self, tty: int, inquiry: Inquiry, *, is_shown: bool) -> str | None:
        """Return the line that the user types; ``None`` if there is no answer in time."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        poller = select.poll()
        poller.register(tty, select.POLLIN)
        typed = bytearray()
        while not (self._is_closed.is_set() or inquiry.is_over()):
            if time.monotonic() > deadline:
                break
            if not poller.poll(_CHECK_INTERVAL_MS):
                continue
            key = os.read(tty, 1)
            if key in _ENTER and key:
                return typed.decode("utf-8", "replace")
            if not key or key == _END:
                break
            if key == _INTERRUPT:
                raise _InterruptedError
            echo = _edit(typed, key)
            if is_shown and echo:
                os.write(tty, echo)
        return None


@attrs.frozen
class _Writer:
    _tty: int

    def lines(self, asker: str, text: str, end: str = "\n") -> None:
        """Write a text of a server; each line starts with who says it."""
        found = [line for line in text.splitlines() if line.strip()] or [""]
        prefix = escape_unprintable(asker)[:_MAX_WIDTH]
        shown = (escape_unprintable(line)[:_MAX_WIDTH] for line in found[-_MAX_LINES:])
        self.write("\n".join(f"{prefix}: {line}" for line in shown) + end)

    def write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "replace"))
        while data:
            data = data[os.write(self._tty, data) :]


def _edit(typed: bytearray, key: bytes) -> bytes:
    """Apply a key to a line, and return what the terminal shows for it."""
    if key in _ERASE:
        count = len(typed.decode("utf-8", "replace"))
        while typed and typed[-1] & 0xC0 == 0x80:
            del typed[-1]
        del typed[-1:]
        return b"\b \b" if count else b""
    if key == _CLEAR:
        count = len(typed.decode("utf-8", "replace"))
        typed.clear()
        return b"\b \b" * count
    if key[0] < 0x20 or len(typed) >= _MAX_ANSWER:
        return b""
    typed += key
    return key


def has_terminal() -> bool:
    """Return whether the user can be asked: there is a terminal, and this is no background job."""
    try:
        with _open_tty():
            return True
    except OSError:
        return False


@contextlib.contextmanager
def terminal_streams() -> Iterator[tuple[TextIO, TextIO]]:
    """Open the terminal, for answers and for what is shown.

    Raises:
        OSError: There is none, or this is a background job.
    """
    with (
        _open_tty() as tty,
        open(tty, encoding="utf-8", errors="replace", closefd=False) as answers,
        open(tty, "w", encoding="utf-8", errors="replace", closefd=False) as screen,
    ):
        yield answers, screen


@contextlib.contextmanager
def _open_tty() -> Iterator[int]:
    """Open the terminal.

    Raises:
        OSError: There is none, or this is a background job, which it would stop.
    """
    tty = os.open(_TTY, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if os.tcgetpgrp(tty) != os.getpgrp():
            raise PermissionError(f"{_TTY}: this is a background job")
        yield tty
    finally:
        os.close(tty)
