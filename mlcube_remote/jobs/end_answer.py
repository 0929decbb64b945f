# SPDX-License-Identifier: Apache-2.0
"""The answer of a host to the end of a task, which follows the task's output on its stream.

It has the task's report, and the outputs of the job if they are small; see
``remote/end_answer.sh``. Without it, a client asks for one after the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import attrs

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.files.sent_outputs import MAX_BYTES, SentFolder, parse_sent
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.transport.base import OutputSink, Reply, Stream
from mlcube_remote.transport.framing import MAX_ANSWER, make_marker

_MAX_SIZE = MAX_ANSWER + MAX_BYTES
"""Size in bytes of an answer: the report may be as large as that of a call."""

_TIMEOUT_S = 60.0
"""Time for an answer; it is extended as that of a call on a slow link."""
_MIN_RATE = 4096.0
"""Bytes per second that must arrive."""

_OUTPUTS = re.compile(rb"(?:^|(?<=\0))folder=")


def answer_words(handle: JobHandle) -> tuple[str, ...]:
    """Return the folders of a job's outputs, each with the number of its outputs."""
    names = [task.task for task in handle.tasks]
    words: list[str] = []
    for folder in handle.folders:
        count = sum(names.count(item.task) for item in folder.outputs)
        words += [folder.remote, str(count)]
    return tuple(words)


@attrs.define(kw_only=True)
class EndAnswer:
    """Separates a task's output from the answer to its end, on one stream."""

    host: str
    sink: OutputSink
    """Receives the task's output."""
    marker: str = attrs.field(factory=lambda: make_marker().decode())
    """It is before and after the answer, between two NUL bytes."""
    _held: bytes = attrs.field(default=b"", init=False)
    """The last bytes of standard output, if they may be the beginning of the marker."""
    _answer: bytearray | None = attrs.field(default=None, init=False)
    """``None`` until the marker arrives."""
    _deadline: float = attrs.field(default=0.0, init=False)

    @property
    def has_begun(self) -> bool:
        """Whether the task's output is complete, and some of the answer has arrived."""
        return self._answer is not None

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take bytes of the stream.

        Raises:
            HostUnfitError: The answer is too large.
            StateUnknownError: It takes too long.
        """
        if stream is Stream.STDERR:
            # It may be later than the marker, which is on standard output.
            self.sink(stream, data)
        elif self._answer is None:
            self._feed_output(data)
        else:
            self._extend(data)

    def silence(self) -> float | None:
        """Return how long the host may be silent: a task for ever, an answer not."""
        return _TIMEOUT_S if self.has_begun else None

    def finish(self) -> None:
        """Pass on what was held back; there is no answer."""
        if self._held:
            held, self._held = self._held, b""
            self.sink(Stream.STDOUT, held)

    def facts(self) -> Mapping[str, str] | None:
        """Return the records of the task's report; ``None`` if there is no complete answer."""
        body = self._body()
        return None if body is None else dict(Reply(0, _OUTPUTS.split(body, 1)[0], b"").records())

    def sent(self) -> Mapping[int, SentFolder]:
        """Return the outputs that came with the report, by the number of their folder."""
        body = self._body()
        begin = None if body is None else _OUTPUTS.search(body)
        return {} if begin is None or body is None else parse_sent(body[begin.start() :])

    def _body(self) -> bytes | None:
        ending = self._ending
        if self._answer is None or not self._answer.endswith(ending):
            return None
        return bytes(self._answer[: -len(ending)])

    @property
    def _ending(self) -> bytes:
        return b"\0" + self.marker.encode() + b"\0"

    def _feed_output(self, data: bytes) -> None:
        data = self._held + data
        output, marker, answer = data.partition(self._ending)
        self._held = b""
        if not marker:
            self._held = output[len(output) - _overlap(output, self._ending) :]
            output = output[: len(output) - len(self._held)]
        if output:
            self.sink(Stream.STDOUT, output)
        if marker:
            self._answer = bytearray()
            self._deadline = time.monotonic() + _TIMEOUT_S
            self._extend(answer)

    def _extend(self, data: bytes) -> None:
        assert self._answer is not None  # noqa: S101 - checked by the callers
        self._answer += data
        self._deadline += len(data) / _MIN_RATE
        if len(self._answer) > _MAX_SIZE:
            raise HostUnfitError(self.host, "answered mlcr_follow_task with more than 1 MiB")
        if time.monotonic() > self._deadline:
            raise StateUnknownError(self.host, f"no complete answer within {_TIMEOUT_S:g} s")


def _overlap(data: bytes, marker: bytes) -> int:
    """Return the length of the longest end of ``data`` that ``marker`` begins with."""
    at = data.rfind(marker[:1], max(0, len(data) - len(marker) + 1))
    # The first byte of the marker occurs in it only at both ends.
    return len(data) - at if at >= 0 and marker.startswith(data[at:]) else 0
