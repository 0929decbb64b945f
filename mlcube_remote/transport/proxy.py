# SPDX-License-Identifier: Apache-2.0
"""ProxyCommand: a program of the user's whose standard streams lead to the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from typing import IO

import attrs

_LAST_WORDS = 1024


@attrs.define
class Proxy:
    """A running proxy command."""

    sock: socket.socket
    """Leads to the server."""
    _process: subprocess.Popen[bytes]
    _errors: IO[bytes]

    @classmethod
    def start(cls, command: str) -> Proxy:
        """Start a command.

        Args:
            command: Shell text, as ProxyCommand is by definition (ssh_config(5)); it comes from
                the user's own configuration.
        """
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the proxy
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        return cls(ours, process, errors)

    def complaint(self) -> str:
        """Return the last line that the program wrote to its standard error."""
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), _LAST_WORDS, max(0, size - _LAST_WORDS))
        lines = text.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End the program and whatever it started."""
        self.sock.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._errors.close()
