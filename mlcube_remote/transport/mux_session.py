# SPDX-License-Identifier: Apache-2.0
"""A session on the control master of ``ssh``: three pairs of sockets, and one to the master."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import attrs

from mlcube_remote.transport.base import Stream
from mlcube_remote.transport.mux import MuxClient, MuxError
from mlcube_remote.transport.standard_streams import StandardStreams

_CHUNK = 256 * 1024
_BUFFER = 1024 * 1024


@attrs.define
class MuxSession:
    """See :class:`mlcube_remote.transport.link.Session`."""

    _client: MuxClient
    _is_link_active: Callable[[], bool]
    _stdin: socket.socket | None
    """``None`` if the command has the streams of a terminal."""
    _outputs: dict[int, tuple[Stream, socket.socket]]
    """File descriptor → stream, for the streams that have not ended."""
    _resized: Callable[[], None] = lambda: None
    """Tells the master that the window of its terminals has another size."""
    is_over: bool = attrs.field(default=False, init=False)
    """Whether :meth:`receive` will return no more bytes."""
    _status: int | None = attrs.field(default=None, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)
    """Whether the master has closed its side."""
    _is_closed: bool = attrs.field(default=False, init=False)
    _users: int = attrs.field(default=0, init=False)
    """Number of threads in a system call on one of the sockets."""
    _sockets: list[socket.socket] = attrs.field(factory=list, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _status_lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        outputs = [sock for _, sock in self._outputs.values()]
        inputs = [] if self._stdin is None else [self._stdin]
        self._sockets += [self._client.sock, *inputs, *outputs]

    @property
    def is_closed(self) -> bool:
        """Whether one of the sides has closed the session."""
        if not self._is_closed and not self._has_ended:
            self.wait_for_status(0)
        return self._is_closed or self._has_ended

    @property
    def is_attached(self) -> bool:
        """Whether the command has the streams of a terminal."""
        return self._stdin is None

    @property
    def is_released(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._is_closed

    @property
    def is_connected(self) -> bool:
        """Whether the master still runs."""
        return self._is_link_active()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[bool]:
        """Keep the descriptors open during a block; gives false if they are closed."""
        with self._lock:
            is_usable = not self._is_closed
            self._users += 1
        try:
            yield is_usable
        finally:
            with self._lock:
                self._users -= 1
            self._close_sockets()

    def receive(self, timeout: float) -> list[tuple[Stream, bytes]]:
        """See :meth:`Session.receive <mlcube_remote.transport.link.Session.receive>`."""
        with self._in_use() as is_usable:
            if not is_usable or not self._outputs:
                self.is_over = True
                return []
            poller = select.poll()
            for descriptor in self._outputs:
                poller.register(descriptor, select.POLLIN)
            arrived = []
            for descriptor, _ in poller.poll(max(timeout, 0) * 1000):
                stream, sock = self._outputs[descriptor]
                data = _read(sock)
                if data:
                    arrived.append((stream, data))
                else:
                    del self._outputs[descriptor]
            self.is_over = not arrived and not self._outputs
            return arrived

    def send(self, data: bytes, timeout: float | None) -> None:
        """See :meth:`Session.send <mlcube_remote.transport.link.Session.send>`."""
        with self._in_use() as is_usable:
            if not is_usable or self._stdin is None:
                raise BrokenPipeError("the session is closed")
            self._stdin.settimeout(timeout)
            view = memoryview(data)
            while view:
                # Not sendall(), whose timeout is for everything.
                view = view[self._stdin.send(view[:_CHUNK]) :]

    def end_input(self) -> None:
        """Close the command's standard input."""
        with self._in_use() as is_usable, contextlib.suppress(OSError):
            if is_usable and self._stdin is not None:
                self._stdin.shutdown(socket.SHUT_WR)

    def wait_for_status(self, timeout: float) -> int | None:
        """Return the exit status; ``None`` if there is none."""
        deadline = time.monotonic() + timeout
        with self._status_lock, self._in_use() as is_usable:
            if not is_usable or self._status is not None or self._has_ended:
                return self._status
            # A timeout of 0 would make the socket non-blocking, with another exception.
            self._client.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._status = self._client.wait_for_status()
            except TimeoutError:
                return None
            except (OSError, MuxError):
                # The session has ended without a status, or the master has.
                pass
            self._has_ended = True
            return self._status

    def resize(self, columns: int, lines: int) -> None:  # noqa: ARG002 - the master asks the terminal
        """Let the master read the size of the terminal's window again."""
        if self.is_attached:
            self._resized()

    def close(self) -> None:
        """Close the session; threads that wait for it wake up."""
        with self._lock:
            was_closed = self._is_closed
            self._is_closed = True
            if not was_closed:
                for sock in self._sockets:
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
        self._close_sockets()

    def _close_sockets(self) -> None:
        """Close the descriptors if the session is closed and no thread uses them."""
        with self._lock:
            if self._is_closed and self._users == 0:
                for sock in self._sockets:
                    sock.close()


def _read(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_CHUNK)
    except ConnectionError:
        # The master ended.
        return b""


def open_mux_session(
    client: MuxClient, command: str, is_link_active: Callable[[], bool]
) -> MuxSession:
    """Start a command.

    Args:
        client: A connection to the master, for this session only.
        command: The command.
        is_link_active: Returns whether the master still runs.

    Raises:
        TimeoutError: The host does not answer.
        MuxRefusedError: The host allows no further session, or the master refused it.
        MuxError: The master ended.
    """
    # Not pipes: a socket can be shut down while another thread waits for it.
    pairs = [socket.socketpair() for _ in range(3)]
    for pair in pairs:
        for each in pair:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    try:
        client.open_session(command, tuple(far.fileno() for _, far in pairs))
    except BaseException:
        for near, _ in pairs:
            near.close()
        raise
    finally:
        for _, far in pairs:
            far.close()
    stdin, stdout, stderr = (near for near, _ in pairs)
    outputs = {
        stdout.fileno(): (Stream.STDOUT, stdout),
        stderr.fileno(): (Stream.STDERR, stderr),
    }
    return MuxSession(client, is_link_active, stdin, outputs)


def attach_mux_session(
    client: MuxClient,
    command: str,
    is_link_active: Callable[[], bool],
    terminal: StandardStreams,
    resized: Callable[[], None],
) -> MuxSession:
    """Start a command that reads and writes a terminal of this machine through the master.

    Args:
        client: A connection to the master, for this session only.
        command: The command.
        is_link_active: Returns whether the master still runs.
        terminal: The terminal.
        resized: Tells the master that the window of a terminal has another size.

    Raises:
        Exception: As for :func:`open_mux_session`.
    """
    streams = (terminal.stdin, terminal.stdout, terminal.stderr)
    client.open_session(command, streams, terminal.kind)
    return MuxSession(client, is_link_active, None, {}, resized)
