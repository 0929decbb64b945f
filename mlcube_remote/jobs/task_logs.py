# SPDX-License-Identifier: Apache-2.0
"""Digests and ends of a task's logs, computed while they are received."""

from __future__ import annotations

import hashlib

import attrs

from mlcube_remote.events.provenance import LogDigest
from mlcube_remote.transport.base import OutputSink, Stream

TAIL_BYTES = 4096
"""Size of the end of a log that is recorded."""


@attrs.define
class _Log:
    digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)
    size: int = 0
    tail: bytes = b""

    def add(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self.tail = (self.tail + data)[-TAIL_BYTES:]


@attrs.define
class TaskLogs:
    """The logs of one task, received from their first byte on."""

    _logs: dict[Stream, _Log] = attrs.field(
        factory=lambda: {stream: _Log() for stream in Stream}, init=False
    )

    def before(self, sink: OutputSink) -> OutputSink:
        """Return a sink that adds what it gets, and passes it on."""

        def add(stream: Stream, data: bytes) -> None:
            self._logs[stream].add(data)
            sink(stream, data)

        return add

    def digests(self) -> dict[str, LogDigest]:
        """Return stream → digest of what was received so far."""
        return {
            stream.value: LogDigest(
                size=log.size,
                sha256=log.digest.hexdigest(),
                tail=log.tail.decode("utf-8", "replace"),
            )
            for stream, log in self._logs.items()
        }
