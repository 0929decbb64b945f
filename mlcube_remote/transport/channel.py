# SPDX-License-Identifier: Apache-2.0
"""A shell on the host, at the other end of one SSH channel."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

import attrs
import paramiko

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Stream
from mlcube_remote.transport.connect_errors import connection_lost

_CHUNK = 256 * 1024

_MAX_WAIT_S = 5.0
"""Interval for checking a channel that has not signalled anything."""

_STATUS_TIMEOUT_S = 10.0
"""Timeout for the exit status of a shell that has closed its streams."""

_MIN_RATE = 4096
"""Bytes per second that must arrive: a slow link gets more time, a host that drips does not."""

READY_TIMEOUT_S = 30.0
"""Timeout until our shell is ready: the login shell starts it, and may be slow."""

Consumer = Callable[[Stream, bytes], bool]
"""Receives bytes of one stream; returns true to end the reading."""


@attrs.define
class _Timeouts:
    """The timeouts of one read, started when it is created."""

    total_s: float | None = None
    silence_s: float | None = None
    """Maximum time without a byte."""
    is_extended: bool = True
    """Whether each byte that arrives extends the total time, as on a very slow link."""
    _end: float = attrs.field(default=math.inf, init=False)
    _silence_end: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        if self.total_s is not None:
            self._end = time.monotonic() + self.total_s
        self.restart_silence()

    def restart_silence(self) -> None:
        if self.silence_s is not None:
            self._silence_end = time.monotonic() + self.silence_s

    def extend(self, size: int) -> None:
        if self.is_extended:
            self._end += size / _MIN_RATE

    def check_total(self) -> None:
        if time.monotonic() > self._end:
            raise TimeoutError

    def check_silence(self) -> None:
        if time.monotonic() > self._silence_end:
            raise TimeoutError

    def remaining(self) -> float:
        return min(self._end, self._silence_end) - time.monotonic()


@attrs.define
class ShellChannel:
    """A channel that runs ``/bin/sh -s``: it takes shell text and returns two streams of bytes.

    The output of the login shell before ours is removed from both streams. One thread may send
    while another one reads; otherwise use it from one thread at a time.
    """

    host: str
    channel: paramiko.Channel
    _markers: dict[Stream, framing.ReadyMarker] = attrs.field(factory=dict, init=False)
    """The streams whose marker has not arrived: their bytes come from the login shell."""
    _unread: list[tuple[Stream, bytes]] = attrs.field(factory=list, init=False)
    """Bytes that arrived together with the markers; the next read starts with them."""
    _arrival: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when bytes arrive. Paramiko's own file descriptor for this can miss an arrival: one
    stream is emptied at the moment when the other one is filled."""

    def start(self, text: bytes = b"") -> None:
        """Start the shell, without waiting for it.

        Args:
            text: Shell text to execute at once. If empty, the shell waits for one line after it is
                ready, executes it, and does not read ahead.
        """
        marker = framing.make_marker()
        self._markers = {stream: framing.ReadyMarker(marker) for stream in Stream}
        self.channel.exec_command(framing.COMMAND)
        self.send(framing.start_shell(marker, read_line=not text) + text)

    def send(self, data: bytes) -> None:
        """Send bytes to the shell.

        Raises:
            StateUnknownError: The connection broke.
        """
        try:
            self.channel.sendall(data)
        except EOFError as problem:
            # Paramiko raises this if it finds the broken connection while it sends.
            raise self.lost() from problem
        except OSError as problem:
            # If only the shell has ended, the next read reports the reason.
            if not self._is_connected():
                raise self.lost() from problem

    def wait_until_ready(self) -> None:
        """Wait until the host runs our shell.

        Raises:
            HostUnfitError: The host runs something else instead of a shell.
            StateUnknownError: The connection broke.
        """
        if Stream.STDOUT not in self._markers:
            return
        stdout, stderr = self._markers[Stream.STDOUT], self._markers[Stream.STDERR]
        early: list[tuple[Stream, bytes]] = []

        def keep(stream: Stream, data: bytes) -> bool:
            early.append((stream, data))
            return stream is Stream.STDOUT

        problem = ""
        timeouts = _Timeouts(total_s=READY_TIMEOUT_S, is_extended=False)
        try:
            is_ready = self._read(keep, timeouts, until_ready=True)
        except framing.AnswerTooLargeError:
            is_ready = False
        except TimeoutError:
            is_ready, problem = False, f"nothing within {READY_TIMEOUT_S:g} s, "
        if is_ready:
            self._unread = early
        elif not self._is_connected():
            raise self.lost()
        else:
            output = stdout if stdout.noise else stderr
            raise self._no_usable_shell(f"{problem}got {output.excerpt}")

    def _no_usable_shell(self, problem: str) -> HostUnfitError:
        return HostUnfitError(
            self.host,
            f"does not give a usable shell: {problem}",
            hint="a login shell that runs commands is required: check ForceCommand, nologin and "
            "what ~/.bashrc or ~/.cshrc executes in non-interactive sessions",
        )

    def read(
        self, consume: Consumer, *, silence: float | None = None, within: float | None = None
    ) -> bool:
        """Pass on all bytes until ``consume`` returns true or the shell ends.

        Args:
            consume: Receives the bytes.
            silence: Maximum time in seconds without a byte.
            within: Maximum time in seconds, plus the time for the bytes on a very slow link.

        Returns:
            Whether ``consume`` returned true.

        Raises:
            StateUnknownError: A timeout passed.
            AnswerTooLargeError: The login shell printed too much.
        """
        try:
            return self._read(consume, _Timeouts(total_s=within, silence_s=silence))
        except TimeoutError:
            raise StateUnknownError(
                self.host,
                f"no answer within {within or silence:g} s",
                hint="the host, or its engine, may hang; the connection itself is open",
            ) from None

    def _read(self, consume: Consumer, timeouts: _Timeouts, *, until_ready: bool = False) -> bool:
        while self._unread:
            if consume(*self._unread.pop(0)):
                return True
        self.channel.in_buffer.set_event(self._arrival)
        self.channel.in_stderr_buffer.set_event(self._arrival)
        while True:
            # Both before reading, so that nothing that arrives in the meantime is missed.
            self._arrival.clear()
            is_over = self.channel.eof_received or self.channel.closed
            has_read = False
            for stream, raw in self._receive():
                has_read = True
                timeouts.extend(len(raw))
                data = self._remove_noise(stream, raw)
                if data and consume(stream, data):
                    return True
                if until_ready and Stream.STDOUT not in self._markers:
                    return True
            timeouts.check_total()
            if has_read:
                timeouts.restart_silence()
            elif is_over:
                self._pass_on_noise(consume)
                return False
            else:
                timeouts.check_silence()
                self._arrival.wait(min(_MAX_WAIT_S, timeouts.remaining()))

    def _receive(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield bytes that have arrived: one chunk of each stream."""
        if self.channel.recv_ready():
            yield Stream.STDOUT, self.channel.recv(_CHUNK)
        if self.channel.recv_stderr_ready():
            yield Stream.STDERR, self.channel.recv_stderr(_CHUNK)

    def _remove_noise(self, stream: Stream, data: bytes) -> bytes:
        """Return the part of ``data`` that our shell printed."""
        marker = self._markers.get(stream)
        if marker is None:
            return data
        rest = marker.feed(data)
        if rest is None:
            return b""
        del self._markers[stream]
        return rest

    def _pass_on_noise(self, consume: Consumer) -> None:
        """Pass on the login shell's error output, because our shell never started."""
        marker = self._markers.pop(Stream.STDERR, None)
        if marker is not None and marker.noise:
            consume(Stream.STDERR, bytes(marker.noise))

    def end_input(self) -> None:
        """Close the shell's standard input.

        Raises:
            StateUnknownError: The connection broke.
        """
        if self.channel.closed:
            return
        try:
            self.channel.shutdown_write()
        except EOFError as problem:
            raise self.lost() from problem

    def end(self, timeout: float) -> None:
        """End the shell, and wait until the server has freed its session."""
        self.end_input()
        self.channel.status_event.wait(timeout)
        self.close()

    def wait_for_status(self) -> int:
        """Return the exit status of a shell that has closed its streams.

        Raises:
            StateUnknownError: It has no status: the connection broke, or the shell was killed.
        """
        self.channel.status_event.wait(_STATUS_TIMEOUT_S)
        code = self.channel.exit_status
        if code >= 0:
            return int(code)
        if not self._is_connected():
            raise self.lost()
        raise StateUnknownError(
            self.host,
            "the shell on the host ended without a status",
            hint="it was killed, or sshd was: check the host's log and its memory",
        )

    def _is_connected(self) -> bool:
        return self.channel.transport is not None and self.channel.transport.is_active()

    def lost(self) -> StateUnknownError:
        """Return the error for a connection that broke."""
        return connection_lost(self.host)

    def close(self) -> None:
        """Close the channel."""
        # A broken connection cannot transmit the message that closes it.
        with contextlib.suppress(EOFError):
            self.channel.close()
