# SPDX-License-Identifier: Apache-2.0
"""Read the two streams of a shell from a session, without the output of the login shell."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

import attrs

from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Stream, Timeout
from mlcube_remote.transport.link import Session

_MAX_WAIT_S = 5.0
"""Interval for checking a session that has not signalled anything."""

MIN_RATE = 4096.0
"""Bytes per second that must arrive: a slow link gets more time, a host that drips does not."""

Consumer = Callable[[Stream, bytes], bool]
"""Receives bytes of one stream; returns true to end the reading."""


@attrs.define
class Timeouts:
    """The timeouts of one read, started when it is created."""

    total_s: float | None = None
    silence: Timeout | None = None
    """Returns the maximum time without a byte."""
    min_rate: float = MIN_RATE
    """Each byte extends the total time as if it took this many bytes per second."""
    _end: float = attrs.field(default=math.inf, init=False)
    _heard: float = attrs.field(factory=time.monotonic, init=False)
    """When the last byte arrived."""

    def __attrs_post_init__(self) -> None:
        if self.total_s is not None:
            self._end = time.monotonic() + self.total_s

    def restart_silence(self) -> None:
        """Restart the time without a byte."""
        self._heard = time.monotonic()

    def extend(self, size: int) -> None:
        """Extend the total time for bytes that arrived."""
        self._end += size / self.min_rate

    def check_total(self) -> None:
        """Raise TimeoutError if the total time has passed."""
        if time.monotonic() > self._end:
            raise TimeoutError

    def check_silence(self) -> None:
        """Raise TimeoutError if there was no byte for too long."""
        if time.monotonic() > self._silence_end():
            raise TimeoutError

    def remaining(self) -> float:
        """Return the time in seconds until one of the timeouts passes."""
        return min(self._end, self._silence_end()) - time.monotonic()

    def _silence_end(self) -> float:
        limit_s = None if self.silence is None else self.silence()
        return math.inf if limit_s is None else self._heard + limit_s


@attrs.define
class ChannelReader:
    """Reads a session. Until the marker of a stream arrives, its bytes are noise."""

    session: Session
    _markers: dict[Stream, framing.ReadyMarker] = attrs.field(factory=dict, init=False)
    _pending: set[Stream] = attrs.field(factory=set, init=False)
    """The streams whose marker has not arrived."""
    _unread: deque[tuple[Stream, bytes]] = attrs.field(factory=deque, init=False)
    """Bytes after the markers that were not passed on."""

    def expect(self, marker: bytes) -> None:
        """Drop the bytes of both streams until this marker."""
        self._markers = {stream: framing.ReadyMarker(marker) for stream in Stream}
        self._pending = set(Stream)

    def wait_for_marker(self, timeouts: Timeouts) -> bool:
        """Wait for the marker on standard output; return false if the session ends before.

        Raises:
            TimeoutError: A timeout passed.
            AnswerTooLargeError: There is too much noise.
        """
        while Stream.STDOUT in self._pending:
            if not self._receive(timeouts):
                return False
            early_size = sum(len(data) for _, data in self._unread)
            if early_size > framing.MAX_NOISE and Stream.STDOUT in self._pending:
                raise framing.AnswerTooLargeError
        return True

    def excerpt_of_noise(self) -> str:
        """Return the first noise of standard output, or else of standard error, for a message."""
        stdout, stderr = self._markers[Stream.STDOUT], self._markers[Stream.STDERR]
        return (stdout if stdout.noise else stderr).excerpt

    def read(self, consume: Consumer, timeouts: Timeouts) -> bool:
        """Pass on all bytes until ``consume`` returns true or the session ends.

        Args:
            consume: Receives the bytes.
            timeouts: When to stop.

        Returns:
            Whether ``consume`` returned true.

        Raises:
            TimeoutError: A timeout passed.
            AnswerTooLargeError: There is too much noise.
        """
        while True:
            while self._unread:
                stream, data = self._unread.popleft()
                if consume(stream, data):
                    return True
            if not self._receive(timeouts):
                self._pass_on_noise(consume)
                return False

    def _receive(self, timeouts: Timeouts) -> bool:
        """Wait for bytes and keep them, without noise; return false if the session has ended."""
        timeouts.check_total()
        received = self.session.receive(min(_MAX_WAIT_S, timeouts.remaining()))
        for stream, raw in received:
            timeouts.extend(len(raw))
            if data := self._remove_noise(stream, raw):
                self._unread.append((stream, data))
        if received:
            timeouts.restart_silence()
        elif self.session.is_over:
            return False
        else:
            timeouts.check_silence()
        return True

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
