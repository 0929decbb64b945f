# SPDX-License-Identifier: Apache-2.0
"""Follow a task's output byte for byte, over as many connections as necessary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.jobs.end_answer import EndAnswer, answer_words
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.log_order import LastLines, Sizes, fetch_order, pass_on_in_order
from mlcube_remote.jobs.state import TaskReport, can_be_adopted, parse_report, read_task
from mlcube_remote.transport.base import Connection, OutputSink, Stream
from mlcube_remote.transport.reconnecting import ReconnectingConnection

if TYPE_CHECKING:
    from mlcube_remote.jobs.log_times import Stamps

_RESUME_DELAY_S = 1.0
"""Delay before following a task again that still runs although its stream ended."""


def follow_task(
    connection: ReconnectingConnection,
    handle: JobHandle,
    number: int,
    sink: OutputSink,
    *,
    begin: Mapping[Stream, int] | None = None,
    catches_up: bool = False,
    tail: int | None = None,
    with_answer: bool = True,
    with_outputs: bool = False,
    stamps: Stamps | None = None,
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
        catches_up: Whether what the task has written before is passed on in the recorded order.
        tail: Number of lines of that to pass on, of both logs together; ``None``: all.
        with_answer: Whether the host reports the end on the stream of the output, unasked.
        with_outputs: Whether it also sends the job's outputs, if no other task follows.
        stamps: Gets the times of arrival, if ``sink`` passes the bytes to it.
        adopted: Called if the task had lost its supervisor and got a new one.
        elsewhere: Called once with the machine on which the task runs, if it is another one that
            shares the host's home directory.

    Raises:
        StateUnknownError: The host no longer answers.
    """
    follower = _Follower(
        handle=handle,
        number=number,
        sink=sink,
        received=dict(begin or dict.fromkeys(Stream, 0)),
        is_behind=catches_up,
        tail=tail,
        with_answer=with_answer,
        with_outputs=with_outputs,
        stamps=stamps,
    )
    node = ""
    while True:
        report = connection.retrying(
            follower.listen, transferred=follower.received_bytes, is_open_ended=True
        )
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


@attrs.define(kw_only=True)
class _Follower:
    """Follows a task over several connections."""

    handle: JobHandle
    number: int
    sink: OutputSink
    received: dict[Stream, int]
    """Offsets of the first bytes not yet received."""
    is_behind: bool
    """Whether the next connection first fetches what the task has written so far."""
    tail: int | None
    """Number of lines of that to pass on; ``None``: all."""
    with_answer: bool
    with_outputs: bool
    stamps: Stamps | None
    """As for :func:`follow_task`."""

    def received_bytes(self) -> int:
        """Return the offset up to which the logs have arrived, both streams together."""
        return sum(self.received.values())

    def listen(self, connection: Connection) -> TaskReport:
        """Follow the task on one connection."""
        if self.is_behind:
            report = self._catch_up(connection)
            if report.exit is not None:
                return report
        # What a broken connection misses is fetched in order, too.
        self.is_behind, self.tail = True, None
        handle, number, at = self.handle, self.number, self.received
        report = self._follow(connection) or read_task(connection, handle, number)
        pass_on_in_order(connection, handle, number, (), at, report.sizes, self._count)
        return report

    def _follow(self, connection: Connection) -> TaskReport | None:
        """Pass the output on until the task ends; return the host's answer to that, if any."""
        handle, number = self.handle, self.number
        offsets = (str(self.received[Stream.STDOUT]), str(self.received[Stream.STDERR]))
        answer = EndAnswer(host=connection.name, sink=self._count)
        words = [answer.marker] if self.with_answer else []
        if self.with_answer and self.with_outputs:
            words += answer_words(handle)
        try:
            connection.stream(
                "mlcr_follow_task",
                *(handle.job_dir, str(number), *offsets, *words),
                sink=answer.feed,
                timeout=answer.silence,
            )
        except StateUnknownError:
            if not answer.has_begun:
                raise
            # The task has ended, and everything that is missing can be asked for.
        answer.finish()
        facts = answer.facts()
        if facts is None:
            return None
        return attrs.evolve(parse_report(handle, number, facts), sent=answer.sent())

    def _catch_up(self, connection: Connection) -> TaskReport:
        at = self.received
        fetch = partial(fetch_rest, self.handle, self.number, at, stamps=self.stamps)
        if self.tail is None:
            return fetch(self._count, connection)
        report = fetch(self.sink, connection, tail=self.tail)
        # The lines that were left out count as received.
        at.update(report.sizes)
        return report

    def _count(self, stream: Stream, data: bytes) -> None:
        self.received[stream] += len(data)
        self.sink(stream, data)


def fetch_rest(
    handle: JobHandle,
    number: int,
    received: Mapping[Stream, int],
    sink: OutputSink,
    connection: Connection,
    *,
    tail: int | None = None,
    stamps: Stamps | None = None,
) -> TaskReport:
    """Pass on the rest of the log files in the recorded order, and return the task's report.

    Args:
        handle: The job.
        number: The task, counted from 1.
        received: Offsets of the first bytes not yet received; ``sink`` may advance them.
        sink: Receives the bytes.
        connection: The host.
        tail: Number of lines of both logs together to pass on; ``None``: all.
        stamps: Gets the times of arrival, if ``sink`` passes the bytes to it.
    """
    report = read_task(connection, handle, number, with_order=True)
    order: Iterable[Sizes] = fetch_order(connection, handle, number, report.order)
    times = None
    if stamps is not None:
        from mlcube_remote.jobs.log_times import fetch_times  # noqa: PLC0415 - few commands need it

        times = fetch_times(connection, handle, number)
    if stamps is not None and times is not None:
        order = stamps.ticking(order, times, report)
    if tail is None:
        pass_on_in_order(connection, handle, number, order, received, report.sizes, sink)
    else:
        last = LastLines(tail)
        with nullcontext(last.add) if stamps is None else stamps.into(last.add) as add:
            pass_on_in_order(connection, handle, number, order, received, report.sizes, add)
        last.pass_on(sink if stamps is None else stamps.sink)
    if stamps is not None and times is not None:
        stamps.follow(times)
    return report
