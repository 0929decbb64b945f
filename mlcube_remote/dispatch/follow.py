# SPDX-License-Identifier: Apache-2.0
"""Following what a task writes, byte for byte, over as many connections as that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from mlcube_remote.dispatch.line import Line
from mlcube_remote.dispatch.ticket import Ticket
from mlcube_remote.dispatch.verdict import Verdict, ask, can_be_adopted
from mlcube_remote.transport.base import Connection, OutputSink, Stream

_AGAIN = 1.0
"""Seconds until a task is followed again that goes on although its stream ended."""


def follow(
    line: Line,
    ticket: Ticket,
    number: int,
    sink: OutputSink,
    *,
    begin: Mapping[Stream, int] | None = None,
    adopted: Callable[[], None] = lambda: None,
    elsewhere: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Pass on every byte that the ``number``-th task writes, until it has ended.

    No byte is passed on twice, and none is left out, however often the line breaks meanwhile.

    Args:
        line: The host.
        ticket: The job.
        number: Its task, counted from 1.
        sink: Receives the bytes.
        begin: Offsets to begin at, in bytes.
        adopted: Called when the task had lost its supervisor and was given another.
        elsewhere: Called, once, with the machine that the task is on if it is another one which
            shares the host's home, and so the files that are followed.

    Raises:
        StateUnknownError: The host can no longer be asked.
    """
    received = dict(begin or {Stream.STDOUT: 0, Stream.STDERR: 0})

    def count(stream: Stream, data: bytes) -> None:
        received[stream] += len(data)
        sink(stream, data)

    def listen(connection: Connection) -> Verdict:
        connection.stream(
            "mlcr_follow_task",
            ticket.job_dir,
            str(number),
            str(received[Stream.STDOUT]),
            str(received[Stream.STDERR]),
            sink=count,
        )
        return fetch_rest(ticket, number, received, count, connection)

    node = ""
    while True:
        verdict = line.steadily(listen)
        if verdict.exit is not None:
            return verdict
        if verdict.node:
            if verdict.node != node:
                elsewhere(verdict.node)
            node = verdict.node
        elif can_be_adopted(verdict):
            line.steadily(lambda at: at.call("mlcr_adopt_task", ticket.job_dir, str(number)))
            adopted()
        elif not verdict.alive:
            return verdict
        time.sleep(_AGAIN)


def fetch_rest(
    ticket: Ticket,
    number: int,
    received: Mapping[Stream, int],
    sink: OutputSink,
    connection: Connection,
) -> Verdict:
    """Pass on what is in the log files beyond what was received, and return the verdict.

    Args:
        ticket: The job.
        number: Its task, counted from 1.
        received: Offsets in bytes; not changed, but what ``sink`` changes counts.
        sink: Receives the bytes.
        connection: The host.
    """
    verdict = ask(connection, ticket, number)
    for stream, size in verdict.sizes.items():
        file, at = f"{ticket.task_dir(number)}/{stream.value}", received[stream]
        while at < size:
            rest = connection.call("mlcr_print_bytes", file, str(at)).stdout
            if not rest:
                break
            sink(stream, rest)
            at += len(rest)
    return verdict
