# SPDX-License-Identifier: Apache-2.0
"""Clients on a terminal, and what a terminal may get from a hostile host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping

import attrs

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_STEPS = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?25[hl]|([\r\n])|([^\x1b\r\n]+)")


def lines_on_screen(written: str, width: int) -> list[str]:
    """Return what a terminal of this width shows at the end; what is too long continues below."""
    lines, row, column = [""], 0, 0
    for count, control, newline, text in _STEPS.findall(_STYLES.sub("", written)):
        if newline == "\r":
            column = 0
        elif newline:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif control == "A":
            row -= int(count or 1)
        elif control == "K":
            lines[row] = ""
        for character in text:
            if column == width:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def require_text(shown: bytes) -> None:
    """Require that a terminal would only print it."""
    assert len(shown) < 1_000_000
    control = {byte for byte in shown if byte < 32} - {ord("\n"), ord("\t")}
    assert not control, (control, shown[:2000])


@attrs.define
class ClientOnTerminal:
    """A client on a terminal."""

    argv: list[str]
    shown: str = ""
    size: tuple[int, int] = (24, 80)
    """Lines and columns."""
    env: Mapping[str, str] = attrs.field(factory=dict)
    """Variables besides those of this process."""
    everything: str = attrs.field(default="", init=False)
    """All that was ever shown."""
    _master: int = attrs.field(init=False)
    _client: subprocess.Popen[bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._master, slave = pty.openpty()
        self.resize(*self.size)
        # A session of its own takes the terminal as its own: Ctrl-C reaches it.
        self._client = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *self.argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", **self.env},
        )
        os.close(slave)

    def resize(self, lines: int, columns: int) -> None:
        """Change the size of the window; the client gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.shown:
            self.shown += self._read(deadline)

    def type(self, text: str) -> None:
        self.shown = ""
        os.write(self._master, text.encode())

    def kill(self) -> None:
        """Leave no process behind, whatever the test came to."""
        self._client.kill()
        self._client.wait()

    def _read(self, deadline: float) -> str:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        assert ready, self.shown
        data = os.read(self._master, 65_536).decode(errors="replace")
        self.everything += data
        return data

    def end(self) -> int:
        deadline = time.monotonic() + 60
        with contextlib.suppress(OSError):
            while data := self._read(deadline):
                self.shown += data
        os.close(self._master)
        return self._client.wait(30)
