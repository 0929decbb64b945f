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
from mlcube_remote.transport.keepalive import Keepalive
from mlcube_remote.transport.monitored_socket import MonitoredSocket
from tests.support.ssh_server import Lab, Serve, Tunnel

INTERVAL_S = 0.3


@attrs.define
class _Peer:
    """A transport whose host answers, or not."""

    answers: bool
    closed: threading.Event = attrs.field(factory=threading.Event)
    requests: int = 0

    def is_active(self) -> bool:
        return not self.closed.is_set()

    def global_request(self, kind: str, *, wait: bool) -> None:
        assert (kind, wait) == ("keepalive@openssh.com", True)
        self.requests += 1
        if not self.answers:
            self.closed.wait(10)
            raise EOFError

    def close(self) -> None:
        self.closed.set()


def _watch(peer: _Peer, interval_s: float = INTERVAL_S) -> tuple[Keepalive, MonitoredSocket]:
    sock = MonitoredSocket(socket.socket())
    sock.carrier.close()
    return Keepalive(cast("paramiko.Transport", peer), sock, interval_s), sock


def test_a_silent_host_is_lost_after_three_intervals() -> None:
    peer = _Peer(answers=False)
    keepalive, _ = _watch(peer)

    began = time.monotonic()
    keepalive.start()

    assert peer.closed.wait(10)
    assert time.monotonic() - began >= 3 * INTERVAL_S


def test_a_busy_link_gets_no_requests_and_stays_open() -> None:
    peer = _Peer(answers=False)
    keepalive, sock = _watch(peer, interval_s=1.0)

    keepalive.start()
    for _ in range(40):
        sock.last_received = time.monotonic()
        time.sleep(0.1)

    assert (peer.requests, peer.is_active()) == (0, True)
    keepalive.stop()


def test_a_late_byte_in_time_keeps_the_connection() -> None:
    peer = _Peer(answers=False)
    keepalive, sock = _watch(peer)

    keepalive.start()
    for _ in range(5):
        time.sleep(2 * INTERVAL_S)
        sock.last_received = time.monotonic()

    assert peer.requests >= 1
    assert peer.is_active()
    keepalive.stop()
    peer.close()


def test_an_interval_of_zero_sends_no_requests() -> None:
    peer = _Peer(answers=True)
    _watch(peer, interval_s=0)[0].start()

    time.sleep(0.1)

    assert peer.requests == 0


def test_a_quiet_server_that_answers_stays_connected(serve: Serve, lab: Lab) -> None:
    server = serve(lambda channel: cast("None", channel.recv(1)))

    with lab.connected(server, keepalive=0.1) as connection:
        time.sleep(1.5)
        assert connection._link.is_active()


@pytest.mark.parametrize("work", ["call", "stream"])
def test_a_dead_link_behind_a_proxy_is_detected(serve: Serve, lab: Lab, work: str) -> None:
    server = serve(lambda _channel: time.sleep(20))

    with (
        contextlib.closing(Tunnel(server.port)) as tunnel,
        lab.connected(server, keepalive=INTERVAL_S, via=tunnel.port) as connection,
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
        assert time.monotonic() - began < 15
