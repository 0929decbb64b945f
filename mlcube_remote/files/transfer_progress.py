# SPDX-License-Identifier: Apache-2.0
"""The progress of a transfer, from what rsync prints with ``--info=progress2``.

rsync prints the bytes that it has sent, their share of all files, the rate, and the seconds left:
``  1234567  42%    3.21MB/s    0:00:05``. At the end of a file, the rate is the average, and the
time is the time since the start. Files that the other side already has count as not sent, so a
transfer may end sooner than it says, and never later.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import attrs

from mlcube_remote.formatting import readable_duration, readable_size

ProgressSink = Callable[[str, float | None], None]
"""Receives a text for people, and a fraction between 0 and 1."""

_INTERVAL_S = 0.5
_LEAP = 10
"""Percent of a file that are reported at its end, whatever the interval: if the buffers of a slow
connection have taken it, rsync prints nothing more for a long time."""
_MAX_LINE = 64 * 1024

_LINE = re.compile(
    rb"\s*(\d{1,18})\s+(\d{1,3})%\s+(\d{1,12}\.\d\d)([kMGT]?)B/s\s+(\d{1,6}):(\d\d):(\d\d)\s*(\(xfr#)?"
)
_UNITS = {b"": 1, b"k": 1024, b"M": 1024**2, b"G": 1024**3, b"T": 1024**4}


@attrs.frozen
class _State:
    sent: int
    """Bytes."""
    percent: int
    rate: float
    """Bytes per second."""
    left: int | None
    """Whole seconds; ``None``: rsync does not say."""

    def total(self) -> tuple[float, float] | None:
        """Return the smallest and the largest size that fit; ``None``: any does."""
        if not self.percent:
            return None
        low, high = self.sent * 100 / (self.percent + 1), self.sent * 100 / self.percent
        if self.left is not None and self.rate:
            low = max(low, self.sent + self.rate * self.left)
            high = min(high, self.sent + self.rate * (self.left + 1))
        return (low, high) if low <= high else None


@attrs.define
class TransferProgress:
    """Reads what rsync prints: reports the progress about twice a second, and keeps the rest."""

    report: ProgressSink | None
    sent: Callable[[int], None] | None = None
    """Called with the number of bytes that rsync has sent so far."""
    limit: int | None = None
    """Bytes of other lines that are kept; later ones are dropped. ``None``: all."""
    _others: bytearray = attrs.field(factory=bytearray, init=False)
    """Lines that are no progress."""
    _rest: bytes = attrs.field(default=b"", init=False)
    """The incomplete last line."""
    _total: tuple[float, float] | None = attrs.field(default=None, init=False)
    """The smallest and the largest size that fit what was printed so far."""
    _reported_at: float | None = attrs.field(default=None, init=False)
    _reported: int = attrs.field(default=0, init=False)
    """Percent."""

    def read(self, data: bytes) -> None:
        """Take a part of what rsync prints."""
        # A line of progress ends with a carriage return, which comes with the next one.
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > _MAX_LINE:
            self._keep(self._rest)
            self._rest = b""
        last = None
        for line in lines:
            if (state := parse_line(line)) is None:
                self._keep(line + b"\n")
            last = state or last
        last = parse_line(self._rest) or last
        if last is not None and self.sent is not None:
            self.sent(last.sent)
        if last is not None and self.report is not None:
            self._note(last, self.report)

    def others(self) -> bytes:
        """Return all lines that are no progress; each ends with a line break."""
        last = b"" if parse_line(self._rest) else self._rest
        return bytes(self._others) + last

    def _keep(self, data: bytes) -> None:
        room = len(data) if self.limit is None else max(0, self.limit - len(self._others))
        self._others += data[:room]

    def _note(self, state: _State, report: ProgressSink) -> None:
        self._narrow(state)
        now = time.monotonic()
        is_due = self._reported_at is None or now >= self._reported_at + _INTERVAL_S
        is_end = state.left is None and state.percent >= self._reported + _LEAP
        if is_due or is_end:
            self._reported_at, self._reported = now, state.percent
            report(self._describe(state), state.percent / 100)

    def _narrow(self, state: _State) -> None:
        found = state.total()
        if found is None:
            return
        if self._total is not None:
            low, high = max(found[0], self._total[0]), min(found[1], self._total[1])
            found = (low, high) if low <= high else found
        self._total = found

    def _describe(self, state: _State) -> str:
        text = readable_size(state.sent)
        total = None
        if self._total is not None:
            total = max(sum(self._total) / 2, state.sent)
            text += f" of up to {readable_size(total)}"
        if state.rate:
            text += f", {readable_size(state.rate)}/s"
            if total is not None:
                text += f", {readable_duration(round((total - state.sent) / state.rate))} left"
        return text


def parse_line(line: bytes) -> _State | None:
    """Return the state that a line of rsync reports; ``None``: it is another line."""
    match = _LINE.match(line)
    if match is None or int(match[2]) > 100:
        return None
    hours, minutes, seconds = (int(match[number]) for number in (5, 6, 7))
    return _State(
        sent=int(match[1]),
        percent=int(match[2]),
        rate=float(match[3]) * _UNITS[match[4]],
        left=None if match[8] else (hours * 60 + minutes) * 60 + seconds,
    )
