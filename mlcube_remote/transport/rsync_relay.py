# SPDX-License-Identifier: Apache-2.0
"""Relay rsync's protocol over the open SSH connection.

rsync starts ``rsh.sh`` as its remote shell. That script connects rsync to this process through two
named pipes, and this process copies the bytes to and from a channel that runs ``rsync --server``.
So rsync needs no login of its own: no second host-key check, no second jump.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import selectors
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import attrs

from mlcube_remote.errors import HostError, UsageError
from mlcube_remote.transport.base import RsyncResult, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.quoting import quote_words
from mlcube_remote.transport.rate_floor import RateFloor
from mlcube_remote.transport.rsync_process import OUT_OF_MEMORY, limit_memory, wait_for_children

_CHUNK = 128 * 1024
_PIPE_SIZE = 1024 * 1024
_MAX_MESSAGES = 256 * 1024
_POLL_INTERVAL_S = 0.5
"""Interval for checking whether a silent rsync has ended."""
_WATCH_INTERVAL_S = 0.1
_END_TIMEOUT_S = 15.0
"""Timeout for the host's side after rsync has ended on this machine."""


def _remote_shell_option(folder: Path) -> str:
    """Return the value of rsync's ``-e``, which rsync splits at spaces outside quotes."""
    words = ("sh", str(Path(__file__).with_name("rsh.sh")), str(folder))
    # Within quotes, rsync reads two quotes as one.
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)


@attrs.frozen
class _Pipes:
    """This process's ends of the pipes to rsync's remote shell; non-blocking."""

    folder: Path
    up: int
    """Bytes from rsync."""
    down: int
    """Bytes to rsync."""

    @classmethod
    def create(cls, folder: Path) -> _Pipes:
        """Create the pipes in an empty folder."""
        ends = []
        # Read and write: opening a pipe only for writing waits for a reader.
        for name, mode in (("up", os.O_RDONLY), ("down", os.O_RDWR)):
            os.mkfifo(folder / name, 0o600)
            end = os.open(folder / name, mode | os.O_NONBLOCK)
            with contextlib.suppress(AttributeError, PermissionError):
                # With larger pipes both sides wake up less often. Not all systems have them.
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            ends.append(end)
        return cls(folder, *ends)

    def write_status(self, status: int) -> None:
        """Write the status of the remote command for ``rsh.sh``, before the pipes are closed."""
        with contextlib.suppress(FileNotFoundError):
            # rsync may have ended already, with a status of its own.
            (self.folder / "status").write_text(f"{status & 0xFF}\n")

    def close(self) -> None:
        """End the remote shell if it still runs."""
        for path in (self.folder / "up", self.folder / "down"):
            # Removed before they are closed: a remote shell that starts now must not wait for them.
            path.unlink(missing_ok=True)
        os.close(self.down)
        os.close(self.up)


@attrs.define
class RsyncRelay:
    """One rsync over one channel."""

    open_shell: Callable[[], ShellChannel]
    rate: RateFloor
    messages: bytearray = attrs.field(factory=bytearray, init=False)
    """Standard error of the host's side, up to a maximum size."""
    error: HostError | None = attrs.field(default=None, init=False)
    _shell: ShellChannel | None = attrs.field(default=None, init=False)
    _ended: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when rsync has ended, for whatever reason."""

    def run(
        self,
        args: Sequence[str],
        *,
        stdin: bytes,
        on_stdout: Callable[[bytes], None] | None,
        watch: Callable[[], None] | None = None,
    ) -> RsyncResult:
        """Run rsync and return its result.

        Raises:
            AbortedTransferError: It was too slow for too long.
            HostError: No channel could be opened, or it broke.
            UsageError: rsync is not installed on this machine.
        """
        with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as folder:
            pipes = _Pipes.create(Path(folder))
            process = _start_rsync(args, pipes)
            serving = threading.Thread(
                target=self._serve, args=(pipes,), name="mlcr-relay", daemon=True
            )
            serving.start()
            try:
                stdout, stderr = _communicate(
                    process, stdin, on_stdout, partial(self._check, watch)
                )
            except BaseException:
                self._abort(process, serving)
                raise
            self._ended.set()
            serving.join(_END_TIMEOUT_S)
            if serving.is_alive() and self._shell is not None:
                # rsync failed, and its status says why; the host just continues to send.
                self._shell.close()
                serving.join()
                self.error = None
        if self.error is not None and process.returncode != OUT_OF_MEMORY:
            raise self.error
        return RsyncResult(process.returncode, stdout, bytes(self.messages) + stderr)

    def _abort(self, process: subprocess.Popen[bytes], serving: threading.Thread) -> None:
        """End rsync and all its children, which would otherwise write what still arrives."""
        process.kill()
        process.wait()
        self._ended.set()
        if self._shell is not None:
            self._shell.close()
            serving.join(_END_TIMEOUT_S)
        wait_for_children(process)

    def _serve(self, pipes: _Pipes) -> None:
        # Closing the pipes ends the remote shell in every case, and so rsync.
        with contextlib.closing(pipes):
            try:
                # rsync starts at the same time: both take a while.
                self._shell = self.open_shell()
                try:
                    self._relay(pipes, self._shell)
                finally:
                    self._shell.close()
            except HostError as problem:
                self.error = problem

    def _relay(self, pipes: _Pipes, shell: ShellChannel) -> None:
        request = self._receive_command(pipes.up)
        if request is None:
            return
        command, first_bytes = request
        shell.wait_until_ready()
        line = f"exec {quote_words(command)}\n".encode("utf-8", "surrogateescape")
        # The thread gets a copy of the descriptor, because it may run after this one is closed.
        threading.Thread(
            target=_copy_up,
            args=(os.dup(pipes.up), line + first_bytes, shell, self.rate),
            name="mlcr-up",
            daemon=True,
        ).start()
        self._copy_down(shell, pipes.down)
        pipes.write_status(shell.wait_for_status())

    def _receive_command(self, up: int) -> tuple[list[str], bytes] | None:
        """Return the remote command and the bytes after it; ``None`` if rsync ended before."""
        poller = select.poll()
        poller.register(up, select.POLLIN)
        data = b""
        while not self._ended.is_set():
            if not poller.poll(_POLL_INTERVAL_S * 1000):
                continue
            if not (more := os.read(up, _CHUNK)):
                return None
            data += more
            count, _, rest = data.partition(b"\0")
            # The first read has the complete number, because it is written at once.
            words = rest.split(b"\0", int(count))
            if len(words) > int(count):
                return [os.fsdecode(word) for word in words[:-1]], words[-1]
        return None

    def _copy_down(self, shell: ShellChannel, descriptor: int) -> None:
        writable = True

        def consume(stream: Stream, data: bytes) -> bool:
            nonlocal writable
            self.rate.received += len(data)
            if stream is Stream.STDERR:
                self._keep_message(data)
            elif writable:
                writable = _write_all(descriptor, data, self._ended)
            return False

        shell.read(consume)

    def _check(self, watch: Callable[[], None] | None) -> None:
        self.rate.check()
        if watch is not None:
            watch()

    def _keep_message(self, data: bytes) -> None:
        self.messages += data[: max(0, _MAX_MESSAGES - len(self.messages))]


def _start_rsync(args: Sequence[str], pipes: _Pipes) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            # Blocking I/O only at the remote shell's end, because cat(1) cannot do anything else.
            ["rsync", "-s", "--blocking-io", "-e", _remote_shell_option(pipes.folder), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            # Ctrl-C on the terminal is a question to this program, and must not end a transfer.
            start_new_session=True,
        )
    except FileNotFoundError as problem:
        pipes.close()
        raise UsageError(
            "rsync was not found on this machine",
            hint="install it (Debian, Ubuntu: apt-get install rsync; macOS: brew install rsync)",
        ) from problem
    limit_memory(process)
    return process


def _copy_up(descriptor: int, first_bytes: bytes, shell: ShellChannel, rate: RateFloor) -> None:
    """Send the bytes from rsync, then close the shell's input."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
        # A slow disk on the host may take long; rsync has a timeout of its own.
        shell.send(first_bytes, may_stall=True)
        while True:
            if not poller.poll(1000):
                if shell.is_closed:
                    return
                continue
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                shell.end_input()
                return
            shell.send(data, may_stall=True)
            rate.sent += len(data)
    except (OSError, HostError):
        # The reading side also finds the broken connection, and reports it.
        return
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, ended: threading.Event) -> bool:
    """Write all bytes; return false if rsync has ended."""
    view = memoryview(data)
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while view:
        if not poller.poll(_POLL_INTERVAL_S * 1000):
            if ended.is_set():
                return False
            continue
        with contextlib.suppress(BlockingIOError):
            view = view[os.write(descriptor, view) :]
    return True


def _communicate(
    process: subprocess.Popen[bytes],
    stdin: bytes,
    on_stdout: Callable[[bytes], None] | None,
    check: Callable[[], None],
) -> tuple[bytes, bytes]:
    """Write to the process and read its output, up to a maximum: a host must not fill memory."""
    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    assert process.stdin is not None  # noqa: S101 - for the type checker
    feeding = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
    feeding.start()
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None  # noqa: S101 - for the type checker
            selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            # Asked before the pipes are looked at: the last message comes just before the end.
            has_ended = process.poll() is not None
            ready = selector.select(_WATCH_INTERVAL_S)
            check()
            if not ready and has_ended:
                # The remote shell keeps the pipes open, because it may still wait for the host.
                break
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data == "stdout" and on_stdout is not None:
                    on_stdout(data)
                else:
                    room = _MAX_MESSAGES - len(kept[key.data])
                    kept[key.data] += data[: max(0, room)]
    feeding.join()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None  # noqa: S101 - for the type checker
        pipe.close()
    process.wait()
    return bytes(kept["stdout"]), bytes(kept["stderr"])


def _feed(pipe: IO[bytes], data: bytes) -> None:
    try:
        with pipe:
            pipe.write(data)
    except BrokenPipeError:
        # rsync ended before it read the list; its status says why.
        return
