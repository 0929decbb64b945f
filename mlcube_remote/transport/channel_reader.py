# SPDX-License-Identifier: Apache-2.0
"""Read the two streams of a shell from a channel, without the output of the login shell."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator

import attrs
import paramiko

from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Stream

_CHUNK = 256 * 1024

_MAX_WAIT_S = 5.0
"""Interval for checking a channel that has not signalled anything."""

MIN_RATE = 4096.0
"""Bytes per second that must arrive: a slow link gets more time, a host that drips does not."""

Consumer = Callable[[Stream, bytes], bool]
"""Receives bytes of one stream; returns true to end the reading."""


@attrs.define
class Timeouts:
    """The timeouts of one read, started when it is created."""

    total_s: float | None = None
    silence_s: float | None = None
    """Maximum time without a byte."""
    min_rate: float = MIN_RATE
    """Each byte extends the total time as if it took this many bytes per second."""
    _end: float = attrs.field(default=math.inf, init=False)
    _silence_end: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        if self.total_s is not None:
            self._end = time.monotonic() + self.total_s
        self.restart_silence()

    def restart_silence(self) -> None:
        """Restart the time without a byte."""
        if self.silence_s is not None:
            self._silence_end = time.monotonic() + self.silence_s

    def extend(self, size: int) -> None:
        """Extend the total time for bytes that arrived."""
        self._end += size / self.min_rate

    def check_total(self) -> None:
        """Raise TimeoutError if the total time has passed."""
        if time.monotonic() > self._end:
            raise TimeoutError

    def check_silence(self) -> None:
        """Raise TimeoutError if there was no byte for too long."""
        if time.monotonic() > self._silence_end:
            raise TimeoutError

    def remaining(self) -> float:
        """Return the time in seconds until one of the timeouts passes."""
        return min(self._end, self._silence_end) - time.monotonic()


@attrs.define
class ChannelReader:
    """Reads a channel. Until the marker of a stream arrives, its bytes are noise."""

    channel: paramiko.Channel
    _markers: dict[Stream, framing.ReadyMarker] = attrs.field(factory=dict, init=False)
    _pending: set[Stream] = attrs.field(factory=set, init=False)
    """The streams whose marker has not arrived."""
    _unread: list[tuple[Stream, bytes]] = attrs.field(factory=list, init=False)
    """Bytes that arrived together with the markers; the next read starts with them."""
    _arrival: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when bytes arrive. Paramiko's own file descriptor for this can miss an arrival: one
    stream is emptied at the moment when the other one is filled."""

    def expect(self, marker: bytes) -> None:
        """Drop the bytes of both streams until this marker."""
        self._markers = {stream: framing.ReadyMarker(marker) for stream in Stream}
        self._pending = set(Stream)

    def wait_for_marker(self, timeouts: Timeouts) -> bool:
        """Wait for the marker on standard output; return false if the channel ends before.

        Raises:
            TimeoutError: A timeout passed.
            AnswerTooLargeError: There is too much noise.
        """
        if Stream.STDOUT not in self._pending:
            return True
        early: list[tuple[Stream, bytes]] = []

        def keep(stream: Stream, data: bytes) -> bool:
            early.append((stream, data))
            return stream is Stream.STDOUT

        is_ready = self.read(keep, timeouts, until_marker=True)
        if is_ready:
            self._unread = early
        return is_ready

    def excerpt_of_noise(self) -> str:
        """Return the first noise of standard output, or else of standard error, for a message."""
        stdout, stderr = self._markers[Stream.STDOUT], self._markers[Stream.STDERR]
        return (stdout if stdout.noise else stderr).excerpt

    def read(self, consume: Consumer, timeouts: Timeouts, *, until_marker: bool = False) -> bool:
        """Pass on all bytes until ``consume`` returns true or the channel ends.

        Args:
            consume: Receives the bytes.
            timeouts: When to stop.
            until_marker: Whether to stop at the marker of standard output, too.

        Returns:
            Whether it stopped before the channel ended.

        Raises:
            TimeoutError: A timeout passed.
            AnswerTooLargeError: There is too much noise.
        """
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
                if until_marker and Stream.STDOUT not in self._pending:
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
        """Return the part of ``data`` after the marker."""
        if stream not in self._pending:
            if self._pending:
                self._markers[stream].check(data)
            return data
        rest = self._markers[stream].feed(data)
        if rest is None:
            return b""
        self._pending.remove(stream)
        return rest

    def _pass_on_noise(self, consume: Consumer) -> None:
        """Pass on the login shell's error output, because our shell never started."""
        if Stream.STDERR in self._pending:
            self._pending.remove(Stream.STDERR)
            if noise := self._markers[Stream.STDERR].noise:
                consume(Stream.STDERR, bytes(noise))
