# SPDX-License-Identifier: Apache-2.0
"""The standard streams of this process, given to a command on a host."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.transport.base import Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.link import Session
from mlcube_remote.transport.raw_mode import Keys, raw_mode

_CHUNK = 64 * 1024
_POLL_INTERVAL_S = 0.2
_STATUS_TIMEOUT_S = 10.0
"""Timeout for the exit status of a command that has closed its streams."""


@attrs.frozen(kw_only=True)
class StandardStreams:
    """Descriptors of the standard streams, and whether the command gets a terminal of its own."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    is_interactive: bool

    @classmethod
    def of_this_process(cls) -> StandardStreams:
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

    def write(self, stream: Stream, data: bytes) -> None:
        """Write output of the command."""
        _write(self.stdout if stream is Stream.STDOUT else self.stderr, data)

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Pass every key on to the command during a block, Ctrl-C as well."""
        if not self.is_interactive:
            yield
            return
        with raw_mode(self.stdin, Keys.FOR_COMMAND):
            try:
                yield
            finally:
                # A control master of ssh that reads the terminal changes how it is read.
                os.set_blocking(self.stdin, True)
                os.set_blocking(self.stdout, True)

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


def connect_terminal(session: Session, terminal: StandardStreams) -> int | None:
    """Connect a terminal with a command that has one on the host, until the command has ended.

    Returns:
        The exit status; ``None`` if there is none, because the connection broke or a signal ended
        the command.
    """
    with terminal.raw(), terminal.watched(lambda: session.resize(*terminal.size)):
        if session.is_attached:
            return _wait_for_end(session)
        with _input_sent(lambda data: session.send(data, None), session.end_input, terminal.stdin):
            while not session.is_over:
                for stream, data in session.receive(_POLL_INTERVAL_S):
                    terminal.write(stream, data)
        return session.wait_for_status(_STATUS_TIMEOUT_S)


def connect_shell(shell: ShellChannel, terminal: StandardStreams) -> None:
    """Pass bytes between a shell and the standard streams until the shell has ended.

    Raises:
        StateUnknownError: The connection broke.
    """

    def show(stream: Stream, data: bytes) -> bool:
        terminal.write(stream, data)
        return False

    def send(data: bytes) -> None:
        shell.send(data, may_stall=True)

    with _input_sent(send, shell.end_input, terminal.stdin):
        shell.read(show)


def _wait_for_end(session: Session) -> int | None:
    while (status := session.wait_for_status(_POLL_INTERVAL_S)) is None and not session.is_closed:
        pass
    return status


@contextlib.contextmanager
def _input_sent(
    send: Callable[[bytes], None], end_input: Callable[[], None], stdin: int
) -> Iterator[None]:
    """Send standard input to a command during a block."""
    ended = threading.Event()

    def work() -> None:
        # The command may end, or the connection may break; the exit status says which.
        with contextlib.suppress(OSError, EOFError, HostError):
            while not ended.is_set():
                if not select.select([stdin], [], [], _POLL_INTERVAL_S)[0]:
                    continue
                data = os.read(stdin, _CHUNK)
                if not data:
                    end_input()
                    return
                send(data)

    # A daemon, because it may wait for a command that reads nothing.
    threading.Thread(target=work, name="mlcr-stdin", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [], _POLL_INTERVAL_S)
