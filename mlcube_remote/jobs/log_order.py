# SPDX-License-Identifier: Apache-2.0
"""Read a task's two logs in the order in which its host saw them grow; see ``log_order.sh``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import attrs

from mlcube_remote.budgets import MAX_WHOLE_DIGITS
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.transport.base import Connection, OutputSink, Stream

_PART = 262_144
"""Bytes of the recorded order that a report contains."""

_MAX_ORDER = 16 * 1024 * 1024
"""Bytes of the recorded order that are read; later bytes of the logs are shown without it."""

_SIZE = re.compile(rf"\d{{1,{MAX_WHOLE_DIGITS}}}", re.ASCII)

Sizes = tuple[int, int]
"""Sizes of the logs of standard output and standard error at one moment."""


def parse_order(text: str) -> tuple[Sizes, ...]:
    """Return the recorded moments; lines that make no sense are ignored.

    The supervisor may be writing the last line, and a full disk may have cut one.
    """
    lines = (line.split() for line in text.split("\n"))
    return tuple(
        (int(words[0]), int(words[1]))
        for words in lines
        if len(words) == 2 and all(_SIZE.fullmatch(word) for word in words)
    )


def fetch_order(
    connection: Connection, handle: JobHandle, number: int, first: str
) -> tuple[Sizes, ...]:
    """Return the whole recorded order.

    Args:
        connection: The host.
        handle: The job.
        number: The task, counted from 1.
        first: The first part, from a report of the task.
    """
    return parse_order(fetch_record(connection, f"{handle.task_dir(number)}/order", first))


def fetch_record(connection: Connection, file: str, first: str) -> str:
    """Return what the supervisor has recorded in a file, up to a maximum.

    Args:
        connection: The host.
        file: The file.
        first: The first part, from a report.
    """
    data = bytearray(first.encode("utf-8", "surrogateescape"))
    is_whole = len(data) < _PART - 1  # a report omits the line break at the end
    data = data if is_whole else data[: _PART - 1]
    while not is_whole:
        more = connection.call("mlcr_print_bytes", file, str(len(data))).stdout
        data += more
        is_whole = not more or len(data) > _MAX_ORDER
    return data.decode("ascii", "replace")


def split_by_order(
    order: Iterable[Sizes], begin: Mapping[Stream, int], end: Mapping[Stream, int]
) -> Iterator[tuple[Stream, int]]:
    """Yield (log, number of bytes) in order, from ``begin`` to ``end``.

    Moments before ``begin``, after ``end`` or out of order change nothing: every byte is part of
    the result, once.
    """
    at = dict(begin)
    for moment in chain(order, [(end[Stream.STDOUT], end[Stream.STDERR])]):
        for stream, size in zip((Stream.STDOUT, Stream.STDERR), moment, strict=True):
            count = min(size, end[stream]) - at[stream]
            if count > 0:
                yield stream, count
                at[stream] += count


def pass_on_in_order(
    connection: Connection,
    handle: JobHandle,
    number: int,
    order: Iterable[Sizes],
    received: Mapping[Stream, int],
    end: Mapping[Stream, int],
    sink: OutputSink,
) -> None:
    """Pass on the logs of a task from ``received`` to ``end``, in order.

    Args:
        connection: The host.
        handle: The job.
        number: The task, counted from 1.
        order: The recorded order.
        received: Offsets of the first bytes not yet received; ``sink`` may advance them.
        end: Offsets after the last bytes.
        sink: Receives the bytes.
    """
    readers = {
        stream: _LogReader(connection, f"{handle.task_dir(number)}/{stream.value}", at, end[stream])
        for stream, at in received.items()
    }
    for stream, count in split_by_order(order, dict(received), end):
        for data in readers[stream].read(count):
            sink(stream, data)


@attrs.define
class _LogReader:
    """Reads one log from its host, in the parts that the host sends."""

    connection: Connection
    file: str
    at: int
    """Offset of the next part."""
    end: int
    data: bytes = b""
    """The last part that was received."""
    done: int = 0
    """Number of its bytes that were read. They are not cut off: a host may name each byte as a
    moment, and a part has a million bytes."""

    def read(self, count: int) -> Iterator[bytes]:
        """Yield the next ``count`` bytes; fewer if the host has fewer."""
        while count > 0:
            if self.done == len(self.data):
                self.data, self.done = self._receive(), 0
            if not self.data:
                return
            part = self.data[self.done : self.done + count]
            self.done += len(part)
            count -= len(part)
            yield part

    def _receive(self) -> bytes:
        data = self.connection.call("mlcr_print_bytes", self.file, str(self.at)).stdout
        # The file may have grown.
        data = data[: max(0, self.end - self.at)]
        self.at += len(data)
        return data


@attrs.define
class LastLines:
    """Keeps the last lines of both logs together, as they were completed."""

    count: int
    """Number of lines to keep."""
    _lines: deque[tuple[Stream, bytes]] = attrs.field(init=False)
    _started: dict[Stream, bytearray] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Limit the number of lines."""
        self._lines = deque(maxlen=self.count)

    def add(self, stream: Stream, data: bytes) -> None:
        """Add bytes of a log."""
        *complete, rest = data.split(b"\n")
        for line in complete:
            started = self._started.pop(stream, bytearray())
            self._lines.append((stream, bytes(started) + line + b"\n"))
        if rest:
            self._started.setdefault(stream, bytearray()).extend(rest)

    def pass_on(self, sink: OutputSink) -> None:
        """Pass on the lines, the incomplete ones last."""
        for stream, rest in self._started.items():
            self._lines.append((stream, bytes(rest)))
        self._started.clear()
        while self._lines:
            sink(*self._lines.popleft())
