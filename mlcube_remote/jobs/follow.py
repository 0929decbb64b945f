# SPDX-License-Identifier: Apache-2.0
"""Follow a task's output byte for byte, over as many connections as necessary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.state import TaskReport, can_be_adopted, read_task
from mlcube_remote.transport.base import Connection, OutputSink, Stream
from mlcube_remote.transport.reconnecting import ReconnectingConnection

_RESUME_DELAY_S = 1.0
"""Delay before following a task again that still runs although its stream ended."""


def follow_task(
    connection: ReconnectingConnection,
    handle: JobHandle,
    number: int,
    sink: OutputSink,
    *,
    begin: Mapping[Stream, int] | None = None,
    adopted: Callable[[], None] = lambda: None,
    elsewhere: Callable[[str], None] = lambda _: None,
) -> TaskReport:
    """Pass on every byte that the ``number``-th task writes, until the task ends.

    No byte is repeated or omitted, however often the connection breaks.

    Args:
        connection: The host.
        handle: The job.
        number: The task, counted from 1.
        sink: Receives the bytes.
        begin: Offsets to start at, in bytes.
        adopted: Called if the task had lost its supervisor and got a new one.
        elsewhere: Called once with the name of the machine on which the task runs, if that is
            another machine that shares the host's home directory, and so the log files.

    Raises:
        StateUnknownError: The host no longer answers.
    """
    received = dict(begin or {Stream.STDOUT: 0, Stream.STDERR: 0})

    def count(stream: Stream, data: bytes) -> None:
        received[stream] += len(data)
        sink(stream, data)

    def listen(current: Connection) -> TaskReport:
        current.stream(
            "mlcr_follow_task",
            handle.job_dir,
            str(number),
            str(received[Stream.STDOUT]),
            str(received[Stream.STDERR]),
            sink=count,
        )
        return fetch_rest(handle, number, received, count, current)

    node = ""
    while True:
        report = connection.retrying(listen)
        if report.exit is not None:
            return report
        if report.node:
            if report.node != node:
                elsewhere(report.node)
            node = report.node
        elif can_be_adopted(report):
            connection.retrying(lambda at: at.call("mlcr_adopt_task", handle.job_dir, str(number)))
            adopted()
        elif not report.alive:
            return report
        time.sleep(_RESUME_DELAY_S)


def fetch_rest(
    handle: JobHandle,
    number: int,
    received: Mapping[Stream, int],
    sink: OutputSink,
    connection: Connection,
) -> TaskReport:
    """Pass on the rest of the log files, and return the task's report.

    Args:
        handle: The job.
        number: The task, counted from 1.
        received: Offsets of the first bytes not yet received; ``sink`` may advance them.
        sink: Receives the bytes.
        connection: The host.
    """
    report = read_task(connection, handle, number)
    for stream, size in report.sizes.items():
        file, at = f"{handle.task_dir(number)}/{stream.value}", received[stream]
        while at < size:
            rest = connection.call("mlcr_print_bytes", file, str(at)).stdout
            if not rest:
                break
            sink(stream, rest)
            at += len(rest)
    return report
