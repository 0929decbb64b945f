# SPDX-License-Identifier: Apache-2.0
"""Fake connections that break, and others that replace them."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.fake import FakeConnection
from mlcube_remote.transport.reconnecting import ReconnectingConnection

OK = Reply(0, b"", b"")


@attrs.define
class Exchange:
    """Returns connections in order, the last one for ever; errors are raised."""

    next: list[FakeConnection | HostError]
    notes: list[str] = attrs.field(factory=list)
    delays: list[float] = attrs.field(factory=list)
    """Seconds until each attempt to connect again."""
    dials: int = 0

    def dial(self) -> Connection:
        self.dials += 1
        answer = self.next.pop(0) if len(self.next) > 1 else self.next[0]
        if isinstance(answer, HostError):
            raise answer
        return answer

    def connection(self, first: FakeConnection, timeout: float = 5.0) -> ReconnectingConnection:
        return ReconnectingConnection(
            current=first,
            dial=self.dial,
            lost=self.lose,
            restored=lambda _: self.notes.append("connected again"),
            timeout=timeout,
        )

    def lose(self, reason: str, retry_in: float) -> None:
        """Note a break, and the attempts after it only as delays."""
        self.delays.append(retry_in)
        if len(self.delays) == 1 or self.notes[-1:] == ["connected again"]:
            self.notes.append(f"{reason}; reconnecting")


def fake(**answers: Reply | HostError | Callable[..., Reply]) -> FakeConnection:
    """Return a connection that answers these functions."""
    connection = FakeConnection("gpu")
    for function, answer in answers.items():
        connection.answer(function, answer)
    return connection
