# SPDX-License-Identifier: Apache-2.0
"""Simulate a distant host: delay every byte to it and from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from mlcube_remote.sandbox import SandboxHost

_CHUNK = 256 * 1024


@contextmanager
def at_distance(
    host: SandboxHost, state: Path, round_trip: float
) -> Iterator[tuple[SandboxHost, Path]]:
    """Put a delay between this machine and a host.

    Args:
        host: The host.
        state: The sandbox's directory.
        round_trip: Seconds for a round trip.

    Yields:
        The host with its new port, and a directory to use instead of ``state``.
    """
    started: Future[tuple[int, Callable[[], None]]] = Future()

    async def serve() -> None:
        stopped = asyncio.Event()
        handle = _DelayingProxy(host.port, round_trip / 2).handle
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        call_soon = asyncio.get_running_loop().call_soon_threadsafe

        def stop() -> None:
            call_soon(stopped.set)

        started.set_result((server.sockets[0].getsockname()[1], stop))
        await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, stop = started.result()
    try:
        yield attrs.evolve(host, port=port), _state(host, state, port)
    finally:
        stop()
        thread.join()


def _state(host: SandboxHost, state: Path, port: int) -> Path:
    """Copy the files that contain the host's port, with its new port; link the key."""
    folder = state.with_name(f"{state.name}-{port}")
    folder.mkdir()
    (folder / "id_ed25519").symlink_to(state / "id_ed25519")
    known_hosts, inventory = state / "known_hosts", state / "hosts.yaml"
    text = known_hosts.read_text().replace(f"]:{host.port} ", f"]:{port} ")
    (folder / known_hosts.name).write_text(text)
    text = inventory.read_text().replace(f"port: {host.port}\n", f"port: {port}\n")
    text = text.replace(str(known_hosts), str(folder / known_hosts.name))
    (folder / inventory.name).write_text(text)
    return folder


@attrs.frozen
class _DelayingProxy:
    """A proxy to a port of this machine that delays each direction."""

    port: int
    delay: float
    """Seconds."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The handshake of a TCP connection takes a round trip.
        await asyncio.sleep(2 * self.delay)
        host_reader, host_writer = await asyncio.open_connection("127.0.0.1", self.port)
        # Some clients keep connections open after the proxy has stopped.
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pump(reader, host_writer), self._pump(host_reader, writer))
        for each in (host_writer, writer):
            each.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass each chunk on after the delay; chunks do not wait for each other."""
        in_transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(in_transit, sink))
        now = asyncio.get_running_loop().time
        while data := await source.read(_CHUNK):
            in_transit.put_nowait((now() + self.delay, data))
        in_transit.put_nowait((now() + self.delay, b""))
        await delivery

    async def _deliver(
        self, in_transit: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await in_transit.get()
            await asyncio.sleep(max(0.0, due - now()))
            if not data:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            sink.write(data)
            await sink.drain()
