# SPDX-License-Identifier: Apache-2.0
"""A host that is far away: every byte to it and from it takes a while."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.sandbox import SandboxHost

_CHUNK = 256 * 1024


@contextmanager
def at_distance(
    host: SandboxHost, state: Path, round_trip: float
) -> Iterator[tuple[SandboxHost, Path]]:
    """Put a host at the far end of a slow line.

    Args:
        host: The host.
        state: The sandbox's directory.
        round_trip: Seconds there and back.

    Yields:
        The host as it is to be reached now, and a directory that stands in for ``state``.
    """
    started: Future[tuple[int, Callable[[], None]]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        carry = _Line(host.port, round_trip / 2).carry
        line = await asyncio.start_server(carry, "127.0.0.1", 0)
        end = partial(asyncio.get_running_loop().call_soon_threadsafe, over.set)
        started.set_result((line.sockets[0].getsockname()[1], end))
        await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, end = started.result()
    try:
        yield attrs.evolve(host, port=port), _state(host, state, port)
    finally:
        end()
        thread.join()


def _state(host: SandboxHost, state: Path, port: int) -> Path:
    """Write what names the host's port anew; the key is the sandbox's own."""
    folder = state.with_name(f"{state.name}-{port}")
    folder.mkdir()
    (folder / "id_ed25519").symlink_to(state / "id_ed25519")
    known_hosts, inventory = state / "known_hosts", state / "hosts.yaml"
    told = known_hosts.read_text().replace(f"]:{host.port} ", f"]:{port} ")
    (folder / known_hosts.name).write_text(told)
    told = inventory.read_text().replace(f"port: {host.port}\n", f"port: {port}\n")
    told = told.replace(str(known_hosts), str(folder / known_hosts.name))
    (folder / inventory.name).write_text(told)
    return folder


@attrs.frozen
class _Line:
    """Carries connections to a port of this machine, with a delay each way."""

    port: int
    delay: float
    """Seconds."""

    async def carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        # What TCP itself takes until a connection stands.
        await asyncio.sleep(2 * self.delay)
        there, forth = await asyncio.open_connection("127.0.0.1", self.port)
        # Some keep their connections for longer than there is the line.
        with suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(self._pump(near, forth), self._pump(there, back))
        for end in (forth, back):
            end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass bytes on, each as late as it was sent: what is under way does not wait in turn."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.ensure_future(self._arrive(under_way, sink))
        now = asyncio.get_running_loop().time
        while data := await source.read(_CHUNK):
            under_way.put_nowait((now() + self.delay, data))
        under_way.put_nowait((now() + self.delay, b""))
        await arriving

    async def _arrive(
        self, under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - now()))
            if not data:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            sink.write(data)
            await sink.drain()
