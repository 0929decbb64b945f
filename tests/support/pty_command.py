# SPDX-License-Identifier: Apache-2.0
"""A command that has a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence

import attrs

PROGRAM = (sys.executable, "-m", "mlcube_remote")


@attrs.define
class PtyCommand:
    """A process whose controlling terminal is a pseudo-terminal, and what it has shown there."""

    process: subprocess.Popen[bytes]
    _master: int
    _shown: bytes = attrs.field(default=b"", init=False)
    _position: int = attrs.field(default=0, init=False)

    @property
    def shown(self) -> bytes:
        """All that the terminal has shown so far."""
        return self._shown

    def expect(self, text: bytes, timeout: float = 20.0) -> None:
        """Wait until the terminal shows a text, after the last one that was expected."""
        deadline = time.monotonic() + timeout
        while (found := self._shown.find(text, self._position)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"expected {text!r}, got {self._shown[self._position :]!r}")
        self._position = found + len(text)

    def _read(self, deadline: float) -> bool:
        wait = max(deadline - time.monotonic(), 0)
        if not select.select([self._master], [], [], wait)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # All processes with the terminal have ended.
            return False
        self._shown += data
        return bool(data)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._master, text.encode())

    @property
    def echoes(self) -> bool:
        """Whether the terminal itself shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def finish(self, timeout: float = 90.0) -> int:
        """Wait for the end; return the exit code."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 1))


@contextlib.contextmanager
def on_terminal(argv: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[PtyCommand]:
    """Start a command on a terminal; it is killed at the end of the block."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        argv,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, **(env or {}), "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=take_terminal,  # noqa: PLW1509 - in the child, before any thread
    )
    os.close(slave)
    try:
        yield PtyCommand(process, master)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
