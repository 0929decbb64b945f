# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import cast

import attrs
import paramiko
import pytest

from mlcube_remote.errors import StateUnknownError
from mlcube_remote.transport.liveness import Liveness
from mlcube_remote.transport.wire import Wire
from tests.unit.transport.ssh_server import Lab, Serve, Tunnel

PERIOD = 0.3


@attrs.define
class _Peer:
    """A transport whose other side answers, or not."""

    answers: bool
    closed: threading.Event = attrs.field(factory=threading.Event)
    asked: int = 0

    def is_active(self) -> bool:
        return not self.closed.is_set()

    def global_request(self, kind: str, *, wait: bool) -> None:
        assert (kind, wait) == ("keepalive@openssh.com", True)
        self.asked += 1
        if not self.answers:
            self.closed.wait(10)
            raise EOFError

    def close(self) -> None:
        self.closed.set()


def _watched(peer: _Peer) -> tuple[Liveness, Wire]:
    wire = Wire(socket.socket())
    wire.carrier.close()
    return Liveness(cast("paramiko.Transport", peer), wire, PERIOD), wire


def test_a_silent_peer_is_given_up_after_three_periods() -> None:
    peer = _Peer(answers=False)
    liveness, _ = _watched(peer)

    began = time.monotonic()
    liveness.start()

    assert peer.closed.wait(10)
    # A second is left for a client that was stopped itself to catch up.
    assert 3 * PERIOD <= time.monotonic() - began < 3 * PERIOD + 2.5


def test_a_busy_link_is_neither_dead_nor_asked() -> None:
    peer = _Peer(answers=False)
    liveness, wire = _watched(peer)

    liveness.start()
    for _ in range(30):
        wire.heard_at = time.monotonic()
        time.sleep(PERIOD / 5)

    assert (peer.asked, peer.is_active()) == (0, True)
    liveness.stop()


def test_an_answer_late_but_in_time_keeps_the_connection() -> None:
    peer = _Peer(answers=False)
    liveness, wire = _watched(peer)

    liveness.start()
    for _ in range(5):
        time.sleep(2 * PERIOD)
        wire.heard_at = time.monotonic()

    assert peer.asked >= 1
    assert peer.is_active()
    liveness.stop()
    peer.close()


def test_nothing_is_asked_when_the_period_is_none() -> None:
    peer = _Peer(answers=True)
    Liveness(cast("paramiko.Transport", peer), _watched(peer)[1], 0).start()

    time.sleep(0.1)

    assert peer.asked == 0


def test_a_quiet_server_that_answers_stays(serve: Serve, lab: Lab) -> None:
    server = serve(lambda channel: cast("None", channel.recv(1)))

    with lab.connected(server, keepalive=0.1) as connection:
        time.sleep(1.5)
        assert connection._dialled.transport.is_active()


@pytest.mark.parametrize("work", ["call", "stream"])
def test_a_cut_line_is_noticed_behind_a_proxy(serve: Serve, lab: Lab, work: str) -> None:
    server = serve(lambda _channel: time.sleep(20))

    with (
        contextlib.closing(Tunnel(server.port)) as tunnel,
        lab.connected(server, keepalive=PERIOD, via=tunnel.port) as connection,
    ):
        threading.Timer(0.2, tunnel.freeze).start()
        began = time.monotonic()
        ask: Callable[[], object] = {
            "call": lambda: connection.call("mlcr_print_kind", "/"),
            "stream": lambda: connection.stream(
                "mlcr_run_in", "/", sink=lambda _stream, _data: None
            ),
        }[work]
        with pytest.raises(StateUnknownError, match="connection lost"):
            ask()
        assert time.monotonic() - began < 5
