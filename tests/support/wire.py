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
    """Relays connections to a port of this machine until told otherwise."""

    target: int
    """The port to relay to; may be changed."""
    rate: float | None = None
    """Maximum bytes per second in each direction."""
    delay: float = 0.0
    """Seconds that bytes take, each way; for connections that are made from now on."""
    loss: float = 0.0
    """Share of the pieces that are late by one retransmission more, with a delay."""
    _listener: socket.socket = attrs.field(init=False)
    _pairs: list[tuple[socket.socket, socket.socket]] = attrs.field(factory=list, init=False)
    _silent: list[tuple[socket.socket, socket.socket]] = attrs.field(factory=list, init=False)
    _whole: threading.Event = attrs.field(factory=threading.Event, init=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    accepted: int = attrs.field(default=0, init=False)
    """Connections that were made through it."""
    relayed: int = attrs.field(default=0, init=False)
    """Bytes that went through it, both ways."""

    def __attrs_post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where to connect to."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break all connections, and refuse new ones until :meth:`restore`."""
        self._whole.clear()
        self._drop()

    def silence(self) -> None:
        """Pass nothing on any more on the connections there are; new ones work."""
        with self._guard:
            silent, self._pairs = self._pairs, []
        self._silent = silent

    def restore(self) -> None:
        """Let new connections through."""
        self._whole.set()

    def close(self) -> None:
        """End the wire."""
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
            if not self._whole.is_set():
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

    def _relay_slowly(self, near: socket.socket, far: socket.socket) -> None:
        chance = random.Random(7)  # noqa: S311 - no secret
        for source, sink in ((near, far), (far, near)):
            under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            threading.Thread(target=self._deliver, args=(under_way, sink), daemon=True).start()
            threading.Thread(
                target=self._take, args=(source, under_way, chance), daemon=True
            ).start()

    def _take(
        self,
        source: socket.socket,
        under_way: queue.SimpleQueue[tuple[float, bytes]],
        chance: random.Random,
    ) -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            # A lost segment is sent again after about a round trip, and holds up what follows it.
            late = 2 * self.delay if chance.random() < self.loss else 0.0
            under_way.put((time.monotonic() + self.delay + late, data))

    def _deliver(
        self, under_way: queue.SimpleQueue[tuple[float, bytes]], sink: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                sink.sendall(data)
                self.relayed += len(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Give a wire for as long as the block lasts."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
