# SPDX-License-Identifier: Apache-2.0
"""The standard streams of this process, given to a command on a host."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from types import FrameType

import attrs

from mlcube_remote.transport.base import Stream
from mlcube_remote.transport.link import Session

_CHUNK = 64 * 1024
_POLL_INTERVAL_S = 0.2
_STATUS_TIMEOUT_S = 10.0
"""Timeout for the exit status of a command that has closed its streams."""


@attrs.frozen(kw_only=True)
class Terminal:
    """Descriptors of the standard streams, and whether the command gets a terminal of its own."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    is_interactive: bool

    @classmethod
    def of_this_process(cls) -> Terminal:
        """Return the standard streams; interactive if input and output are a terminal."""
        return cls(is_interactive=os.isatty(0) and os.isatty(1))

    @property
    def kind(self) -> str:
        """The type of the terminal, for programs that draw on it."""
        return os.environ.get("TERM") or "dumb"

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines."""
        try:
            return os.get_terminal_size(self.stdout)
        except OSError:
            return os.terminal_size((80, 24))

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Pass every key on to the command during a block, Ctrl-C as well."""
        if not self.is_interactive:
            yield
            return
        settings = termios.tcgetattr(self.stdin)
        try:
            # What was typed ahead is for the command.
            tty.setraw(self.stdin, termios.TCSANOW)
            yield
        finally:
            # A control master of ssh that reads the terminal changes how it is read.
            os.set_blocking(self.stdin, True)
            os.set_blocking(self.stdout, True)
            termios.tcsetattr(self.stdin, termios.TCSADRAIN, settings)

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Leave Ctrl-C to a command that shares this process's terminal during a block."""
        if not self.is_interactive or threading.current_thread() is not threading.main_thread():
            yield
            return
        # Not SIG_IGN, which the command would inherit.
        before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def watched(self, on_resize: Callable[[], None]) -> Iterator[None]:
        """Call a function during a block when the window gets another size."""
        if not self.is_interactive or threading.current_thread() is not threading.main_thread():
            yield
            return

        def resized(_number: int, _frame: FrameType | None) -> None:
            on_resize()

        before = signal.signal(signal.SIGWINCH, resized)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)


def connect_streams(session: Session, terminal: Terminal) -> int | None:
    """Pass bytes between a session and the standard streams until the command has ended.

    Returns:
        The exit status; ``None`` if there is none, because the connection broke or a signal ended
        the command.
    """
    ended = threading.Event()
    with terminal.raw(), terminal.watched(lambda: session.resize(*terminal.size)):
        if not session.is_attached:
            reader = (session, terminal.stdin, ended)
            threading.Thread(
                target=_send_input, args=reader, name="mlcr-stdin", daemon=True
            ).start()
        try:
            while not session.is_over:
                for stream, data in session.receive(_POLL_INTERVAL_S):
                    _write(terminal.stdout if stream is Stream.STDOUT else terminal.stderr, data)
            return _wait_for_status(session)
        finally:
            ended.set()


def _wait_for_status(session: Session) -> int | None:
    if not session.is_attached:
        return session.wait_for_status(_STATUS_TIMEOUT_S)
    while (status := session.wait_for_status(_POLL_INTERVAL_S)) is None and not session.is_closed:
        pass
    return status


def _send_input(session: Session, stdin: int, ended: threading.Event) -> None:
    """Send standard input to the command until one of them ends."""
    # The command may end, or the connection may break; the exit status says which.
    with contextlib.suppress(OSError, EOFError):
        while not ended.is_set():
            if not select.select([stdin], [], [], _POLL_INTERVAL_S)[0]:
                continue
            data = os.read(stdin, _CHUNK)
            if not data:
                session.end_input()
                return
            session.send(data, None)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [], _POLL_INTERVAL_S)
