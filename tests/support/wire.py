# SPDX-License-Identifier: Apache-2.0
"""A TCP relay in front of a host, which can be cut, silenced and restored."""

from __future__ import annotations

import contextlib
import queue
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import attrs

_CHUNK = 65_536


@attrs.define
class Wire:
    """A TCP relay to a port of this machine, on a port of its own."""

    target: int
    """The port to relay to; may be changed."""
    rate: float | None = None
    """Maximum bytes per second in each direction, for each connection."""
    holds_at: int | None = None
    """Number of bytes after which nothing passes, until it is changed or the wire is cut."""
    delay: float = 0.0
    """Delay in seconds, in each direction; for later connections."""
    loss: float = 0.0
    """Probability that a chunk is late by one retransmission; needs a delay."""
    _listener: socket.socket = attrs.field(init=False)
    _pairs: list[tuple[socket.socket, socket.socket]] = attrs.field(factory=list, init=False)
    _silent: list[tuple[socket.socket, socket.socket]] = attrs.field(factory=list, init=False)
    _is_open: threading.Event = attrs.field(factory=threading.Event, init=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    accepted: int = attrs.field(default=0, init=False)
    """Number of connections so far."""
    relayed: int = attrs.field(default=0, init=False)
    """Number of bytes so far, in both directions."""
    round_trips: int = attrs.field(default=0, init=False)
    """How often the near side could only continue with an answer, over a delayed connection.

    It is the length of the longest chain of messages in which each waits for the one before. So it
    depends on the protocol, and not on how fast the machine is, as long as the
    delay is longer than the work between two messages of different chains.
    """
    _asked: int = attrs.field(default=0, init=False)
    """Number of round trips that had ended when the last message for the far side was sent."""

    def __attrs_post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port of the relay."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break all connections, and refuse new ones until :meth:`restore`."""
        self._is_open.clear()
        self._drop()

    def silence(self) -> None:
        """Drop all bytes of the current connections, but keep them open; new connections work."""
        with self._guard:
            silent, self._pairs = self._pairs, []
        self._silent = silent

    def restore(self) -> None:
        """Accept new connections again."""
        self._is_open.set()

    def close(self) -> None:
        """Close the relay and its connections."""
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        with self._guard:
            pairs, self._pairs = self._pairs, []
        for pair in [*pairs, *self._silent]:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._silent = []

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open.is_set():
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.accepted += 1
            with self._guard:
                self._pairs.append((near, far))
            relay = self._relay_slowly if self.delay else self._relay
            threading.Thread(target=relay, args=(near, far), daemon=True).start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while (near, far) in self._pairs:
                for key, _ in selector.select(0.2):
                    data = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr] # always a socket
                    while self._is_held() and (near, far) in self._pairs:
                        time.sleep(0.02)
                    if (near, far) not in self._pairs:
                        return
                    if not data:
                        near.close()
                        far.close()
                        return
                    key.data.sendall(data)
                    if self.rate is not None:
                        time.sleep(len(data) / self.rate)
                    self.relayed += len(data)

    def _is_held(self) -> bool:
        return self.holds_at is not None and self.relayed >= self.holds_at

    def _relay_slowly(self, near: socket.socket, far: socket.socket) -> None:
        chance = random.Random(7)  # noqa: S311 - no secret
        for source, sink in ((near, far), (far, near)):
            in_transit: queue.SimpleQueue[tuple[float, bytes, int]] = queue.SimpleQueue()
            to_near = sink is near
            threading.Thread(
                target=self._deliver, args=(in_transit, sink, to_near), daemon=True
            ).start()
            threading.Thread(
                target=self._take, args=(source, in_transit, chance, to_near), daemon=True
            ).start()

    def _take(
        self,
        source: socket.socket,
        in_transit: queue.SimpleQueue[tuple[float, bytes, int]],
        chance: random.Random,
        to_near: bool,
    ) -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            # A lost segment is sent again after about a round trip, and delays the following ones.
            late = 2 * self.delay if chance.random() < self.loss else 0.0
            ended = self._asked + 1 if to_near else self.round_trips
            in_transit.put((time.monotonic() + self.delay + late, data, ended))

    def _deliver(
        self,
        in_transit: queue.SimpleQueue[tuple[float, bytes, int]],
        sink: socket.socket,
        to_near: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data, ended = in_transit.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                if to_near:
                    self.round_trips = max(self.round_trips, ended)
                else:
                    self._asked = max(self._asked, ended)
                sink.sendall(data)
                self.relayed += len(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Run a relay to a port during the block."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
