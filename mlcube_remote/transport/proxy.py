# SPDX-License-Identifier: Apache-2.0
"""Run a ProxyCommand: a program whose standard streams are connected to the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from typing import IO

import attrs

_MAX_MESSAGE = 1024
"""Bytes at the end of standard error that are searched for the last line."""

_TERM_TIMEOUT_S = 2.0
"""Timeout after SIGTERM, until the program gets SIGKILL."""


@attrs.define
class Proxy:
    """A running proxy command."""

    sock: socket.socket
    """Connected to the server through the program."""
    _process: subprocess.Popen[bytes]
    _errors: IO[bytes]

    @classmethod
    def start(cls, command: str) -> Proxy:
        """Start a command.

        Args:
            command: Shell text, as ProxyCommand is by definition (ssh_config(5)); it comes from
                the user's own configuration.
        """
        near, far = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the proxy
        with far:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        return cls(near, process, errors)

    def last_message(self) -> str:
        """Return the last line of the program's standard error; empty if there is none."""
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), _MAX_MESSAGE, max(0, size - _MAX_MESSAGE))
        lines = text.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End the program and its children."""
        self.sock.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(_TERM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._errors.close()
