# SPDX-License-Identifier: Apache-2.0
"""The host ``local``: this machine, with the same shell library but without SSH."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import attrs

from mlcube_remote.errors import HostError, HostUnfitError, StateUnknownError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream, Timeout
from mlcube_remote.transport.command_text import render_script
from mlcube_remote.transport.standard_streams import StandardStreams

_CHUNK = 64 * 1024
_CHECK_INTERVAL_S = 0.5
"""Interval for checking whether the connection was closed."""


@attrs.frozen
class _Reader:
    """Reads the output of a shell until its end, or until the connection is closed."""

    name: str
    process: subprocess.Popen[bytes]
    is_closed: threading.Event

    def read(self, sink: OutputSink, silence: Timeout | None, within: float | None) -> None:
        deadline = None if within is None else time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            pipes: tuple[tuple[IO[bytes] | None, Stream], ...] = (
                (self.process.stdout, Stream.STDOUT),
                (self.process.stderr, Stream.STDERR),
            )
            for pipe, stream in pipes:
                assert pipe is not None  # noqa: S101 - for the type checker
                selector.register(pipe, selectors.EVENT_READ, stream)
            while selector.get_map():
                limit = within if silence is None else silence()
                until = deadline
                if until is None and limit is not None:
                    until = time.monotonic() + limit
                ready = self._wait(selector, until)
                if not ready:
                    raise StateUnknownError(self.name, f"no answer within {limit:g} s")
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    if data:
                        sink(key.data, data)
                    else:
                        selector.unregister(key.fileobj)

    def _wait(
        self, selector: selectors.BaseSelector, until: float | None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for output, or the end of it; empty if there is none until that time."""
        while True:
            if self.is_closed.is_set() and self.process.poll() is not None:
                # A command that it started may keep the pipes open.
                raise _closed_error(self.name)
            left = _CHECK_INTERVAL_S if until is None else until - time.monotonic()
            if left <= 0:
                return []
            if ready := selector.select(min(left, _CHECK_INTERVAL_S)):
                return ready


@attrs.define
class LocalConnection:
    """Runs the shell library on this machine, with a new ``/bin/sh`` for each call."""

    host: Host
    _running: set[subprocess.Popen[bytes]] = attrs.field(factory=set, init=False)
    _is_closed: threading.Event = attrs.field(factory=threading.Event, init=False)

    @property
    def name(self) -> str:
        """The host's inventory name."""
        return self.host.name

    def call(
        self,
        function: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """See :meth:`Connection.call <mlcube_remote.transport.base.Connection.call>`."""
        output: dict[Stream, bytearray] = {stream: bytearray() for stream in Stream}

        def collect(stream: Stream, data: bytes) -> None:
            output[stream] += data
            if len(output[stream]) > framing.MAX_ANSWER:
                raise HostUnfitError(self.name, f"answered {function} with more than 1 MiB")

        code = self._run(_script(function, args, env), collect, within=timeout)
        return Reply(code, bytes(output[Stream.STDOUT]), bytes(output[Stream.STDERR]))

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,
    ) -> int:
        """See :meth:`Connection.stream <mlcube_remote.transport.base.Connection.stream>`."""
        return self._run(_script(function, args, env), sink, silence=timeout)

    def _run(
        self,
        text: bytes,
        sink: OutputSink,
        *,
        silence: Timeout | None = None,
        within: float | None = None,
    ) -> int:
        if self._is_closed.is_set():
            raise _closed_error(self.name)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-s"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C on the terminal is a question to this program, and must not end a step.
                start_new_session=True,
            )
        except OSError as problem:
            raise HostUnfitError(self.name, f"/bin/sh cannot be started: {problem}") from problem
        self._running.add(process)
        if self._is_closed.is_set():
            # close() may have come before the process was added.
            _terminate(process)
        try:
            with process:
                try:
                    _write_input(process, text)
                    reader = _Reader(self.name, process, self._is_closed)
                    reader.read(sink, silence, within)
                except BaseException:
                    # Its output is no longer read, so it could run for ever.
                    process.kill()
                    raise
        finally:
            self._running.discard(process)
        if self._is_closed.is_set():
            raise _closed_error(self.name)
        return _shell_status(process.returncode)

    def interact(self, function: str, *args: str, terminal: StandardStreams) -> int:
        """See :meth:`Connection.interact <mlcube_remote.transport.base.Connection.interact>`."""
        with terminal.uninterrupted():
            done = subprocess.run(
                ["/bin/sh", "-c", render_script(function, args)],
                stdin=terminal.stdin,
                stdout=terminal.stdout,
                stderr=terminal.stderr,
                check=False,
            )
        return _shell_status(done.returncode)

    def rsync(
        self,
        args: Sequence[str],  # noqa: ARG002 - the protocol's
        *,
        stdin: bytes = b"",  # noqa: ARG002
        on_stdout: Callable[[bytes], None] | None = None,  # noqa: ARG002
        watch: Callable[[], None] | None = None,  # noqa: ARG002
    ) -> RsyncResult:
        """Raise an error: jobs on this machine run in place, so nothing is copied."""
        raise HostError(self.name, "nothing is copied on this machine: jobs run in place")

    def expect_channel(self) -> None:
        """Do nothing: processes start quickly."""

    def close(self) -> None:
        """End all running processes; what calls and streams would return then means nothing."""
        self._is_closed.set()
        for process in list(self._running):
            _terminate(process)


def _closed_error(name: str) -> StateUnknownError:
    return StateUnknownError(name, "the connection was closed")


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End a shell and the commands that it waits for, such as a build."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)


def _script(function: str, args: Sequence[str], env: Mapping[str, str] | None) -> bytes:
    """Return the shell text for a call in a new shell."""
    return render_script(function, args, env) + b" </dev/null\n"


def _write_input(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        # If the shell ends before it has read everything, its status says why.
        stdin.write(text)


def _shell_status(code: int) -> int:
    """Return the status that a shell reports for a return code of :mod:`subprocess`."""
    return 128 - code if code < 0 else code
