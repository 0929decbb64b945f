# SPDX-License-Identifier: Apache-2.0
"""When the logs of a task grew, as its host saw it; see ``log_order.sh``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum

import attrs

from mlcube_remote.budgets import MAX_WHOLE_DIGITS
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.log_order import Sizes, fetch_record
from mlcube_remote.jobs.state import TaskReport
from mlcube_remote.transport.base import Connection, OutputSink, Stream

_NUMBER = re.compile(rf"\d{{1,{MAX_WHOLE_DIGITS}}}", re.ASCII)
_BREAKS = re.compile(rb"(\r\n|\n|\r)")
_LAST_TIME = 253_402_300_799
"""The end of the year 9999: later times cannot be shown."""
_BRIEF_S = 2.0
_UNKNOWN = b"-".ljust(21)


@attrs.frozen(kw_only=True)
class LogTimes:
    """When the two logs of a task had which sizes."""

    entries: tuple[tuple[int, Sizes], ...]
    """Time and sizes, in order. What came after the entry before, came at this time."""
    now: float
    """The host's time when it answered, in seconds since the epoch."""

    def offsets_since(self, begin: float, report: TaskReport) -> dict[Stream, int]:
        """Return the sizes of the logs at a time.

        Args:
            begin: The time, in seconds since the epoch.
            report: The report of the task.
        """
        if report.finished is not None and report.finished < begin:
            return dict(report.sizes)
        out, err = 0, 0
        for at, sizes in self.entries:
            if at >= begin:
                break
            out, err = sizes
        return {
            Stream.STDOUT: min(out, report.sizes[Stream.STDOUT]),
            Stream.STDERR: min(err, report.sizes[Stream.STDERR]),
        }


def fetch_times(connection: Connection, handle: JobHandle, number: int) -> LogTimes:
    """Ask the host when the logs of the ``number``-th task grew.

    Raises:
        StateUnknownError: It does not answer.
    """
    directory = handle.task_dir(number)
    facts = dict(connection.call("mlcr_report_log_times", directory).records())
    text = fetch_record(connection, f"{directory}/times", facts.get("times", ""))
    now = facts.get("now", "")
    return LogTimes(
        entries=parse_times(text), now=float(now) if _NUMBER.fullmatch(now) else time.time()
    )


def parse_times(text: str) -> tuple[tuple[int, Sizes], ...]:
    """Return the recorded times; lines that make no sense or go back are ignored."""
    entries: list[tuple[int, Sizes]] = []
    last = (0, 0, 0)
    for line in text.split("\n"):
        words = line.split()
        if len(words) != 3 or not all(_NUMBER.fullmatch(word) for word in words):
            continue
        found = (int(words[0]), int(words[1]), int(words[2]))
        if found[0] <= _LAST_TIME and all(new >= old for new, old in zip(found, last, strict=True)):
            entries.append((found[0], found[1:]))
            last = found
    return tuple(entries)


class _Position(Enum):
    START = "start"
    INSIDE = "inside"
    RETURNED = "returned"
    """After a carriage return, which may be the first half of a line break."""


@attrs.define
class Stamps:
    """Writes before each line of both logs when it arrived on the host."""

    sink: OutputSink
    """Receives the lines with their times."""
    at: float | None = None
    """The time of the next bytes, in seconds since the epoch; ``None``: unknown."""
    ahead: float | None = None
    """Seconds by which the host's clock is ahead of this machine's, if bytes arrive now."""
    positions: dict[Stream, _Position] = attrs.field(factory=dict)

    def __call__(self, stream: Stream, data: bytes) -> None:
        """Pass on bytes of a log."""
        stamped = bytearray()
        position = self.positions.get(stream, _Position.START)
        for piece in filter(None, _BREAKS.split(data)):
            # A carriage return starts the line again, as on a terminal.
            is_rest_of_break = position is _Position.RETURNED and piece == b"\n"
            if position is not _Position.INSIDE and not is_rest_of_break:
                stamped += self._prefix()
            stamped += piece
            position = _Position.INSIDE
            if piece in {b"\n", b"\r\n"}:
                position = _Position.START
            elif piece == b"\r":
                position = _Position.RETURNED
        self.positions[stream] = position
        self.sink(stream, bytes(stamped))

    @contextmanager
    def into(self, sink: OutputSink) -> Iterator[OutputSink]:
        """Pass the lines to another sink during a block."""
        before, self.sink = self.sink, sink
        try:
            yield self
        finally:
            self.sink = before

    def _prefix(self) -> bytes:
        at = self.at if self.ahead is None else time.time() + self.ahead
        if at is None or not 0 <= at <= _LAST_TIME:
            return _UNKNOWN
        moment = datetime.fromtimestamp(int(at), timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ} ".encode()

    def ticking(
        self, order: Iterable[Sizes], times: LogTimes, report: TaskReport
    ) -> Iterator[Sizes]:
        """Yield the moments of both records in order, each after setting its time."""
        self.ahead = None
        later = list(times.entries)[::-1]
        moments = sorted({*order, *(sizes for _, sizes in later)}, key=sum)
        for moment in moments:
            while later and sum(later[-1][1]) < sum(moment):
                later.pop()
            self.at = later[-1][0] if later else self._end(times, report)
            yield moment
        self.at = self._end(times, report)

    def _end(self, times: LogTimes, report: TaskReport) -> float | None:
        """Return the time of bytes that came after the last entry."""
        if not times.entries and not _is_brief(report):
            return None
        return times.now if report.finished is None else report.finished

    def follow(self, times: LogTimes) -> None:
        """Give bytes from now on the time of their arrival here, by the host's clock."""
        self.ahead = times.now - time.time()


def lacks_times(times: LogTimes, report: TaskReport) -> bool:
    """Return whether the host has not recorded when the output of a task came."""
    return not times.entries and any(report.sizes.values()) and not _is_brief(report)


def _is_brief(report: TaskReport) -> bool:
    """Return whether a task ended before its host looked at its logs."""
    seconds = report.seconds
    return seconds is not None and seconds < _BRIEF_S
