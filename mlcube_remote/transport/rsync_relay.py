# SPDX-License-Identifier: Apache-2.0
"""Carrying rsync's protocol over the connection that is open already.

rsync starts ``rsh.sh`` as its remote shell, which speaks to this process through two pipes; what
goes through them is pumped to and from a channel that runs ``rsync --server``. So rsync needs no
login of its own: no second host-key check, no second hop.
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
from pathlib import Path
from typing import IO

import attrs

from mlcube_remote.errors import HostError, UsageError
from mlcube_remote.transport.base import RsyncResult, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.quoting import quote_words

_CHUNK = 128 * 1024
_PIPE_SIZE = 1024 * 1024
_MAX_MESSAGES = 256 * 1024
_LOOK_AGAIN = 0.5
"""Seconds until rsync's process is looked at though it is silent."""
_END_TIMEOUT = 15.0
"""Seconds that the other side may go on once this side's rsync has ended."""


def _remote_shell(folder: Path) -> str:
    """Return the value of rsync's ``-e``, which rsync splits at spaces outside quotes."""
    words = ("sh", str(Path(__file__).with_name("rsh.sh")), str(folder))
    # Within quotes a doubled quote stands for one.
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)


@attrs.frozen
class _Pipes:
    """This process's ends of the pipes to rsync's remote shell; they do not block."""

    folder: Path
    up: int
    """What rsync writes."""
    down: int
    """What rsync reads."""

    @classmethod
    def make(cls, folder: Path) -> _Pipes:
        """Make the pipes in an empty folder."""
        ends = []
        # Open for writing alone would wait for a reader.
        for name, mode in (("up", os.O_RDONLY), ("down", os.O_RDWR)):
            os.mkfifo(folder / name, 0o600)
            end = os.open(folder / name, mode | os.O_NONBLOCK)
            with contextlib.suppress(AttributeError, PermissionError):
                # Larger pipes wake the two sides less often; where there are none, small ones do.
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            ends.append(end)
        return cls(folder, *ends)

    def end(self, status: int) -> None:
        """Say how the remote command ended; to be said before the pipes are closed."""
        with contextlib.suppress(FileNotFoundError):
            # rsync may have ended already; its own status says how.
            (self.folder / "status").write_text(f"{status & 0xFF}\n")

    def close(self) -> None:
        """End the remote shell if it still runs."""
        for path in (self.folder / "up", self.folder / "down"):
            # Gone before they are closed: a remote shell that starts now must not wait for ever.
            path.unlink(missing_ok=True)
        os.close(self.down)
        os.close(self.up)


@attrs.define
class Relay:
    """One rsync over one channel."""

    open_shell: Callable[[], ShellChannel]
    messages: bytearray = attrs.field(factory=bytearray, init=False)
    """What the remote side wrote to its standard error, capped."""
    error: HostError | None = attrs.field(default=None, init=False)
    _shell: ShellChannel | None = attrs.field(default=None, init=False)
    _ended: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Set when rsync has ended, however that was."""

    def run(
        self,
        args: Sequence[str],
        *,
        stdin: bytes,
        on_stdout: Callable[[bytes], None] | None,
    ) -> RsyncResult:
        """Run rsync and return how it ended.

        Raises:
            HostError: The channel could not be had, or broke.
            UsageError: There is no rsync on this machine.
        """
        with tempfile.TemporaryDirectory(prefix="mlcube-remote-") as folder:
            pipes = _Pipes.make(Path(folder))
            serving = threading.Thread(
                target=self._serve, args=(pipes,), name="mlcr-relay", daemon=True
            )
            try:
                process = subprocess.Popen(
                    # Blocking I/O is for the remote shell's end alone: cat(1) knows no other.
                    ["rsync", "-s", "--blocking-io", "-e", _remote_shell(pipes.folder), *args],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**os.environ, "LC_ALL": "C"},
                )
            except FileNotFoundError as problem:
                pipes.close()
                raise UsageError(
                    "rsync was not found on this machine", hint="install it (apt-get install rsync)"
                ) from problem
            serving.start()
            try:
                stdout, stderr = _communicate(process, stdin, on_stdout)
            except BaseException:
                process.kill()
                process.wait()
                self._ended.set()
                raise
            self._ended.set()
            serving.join(_END_TIMEOUT)
            if serving.is_alive() and self._shell is not None:
                # rsync has given up, and its status says why; the other side only talks on.
                self._shell.close()
                serving.join()
                self.error = None
        if self.error is not None:
            raise self.error
        return RsyncResult(process.returncode, stdout, bytes(self.messages) + stderr)

    def _serve(self, pipes: _Pipes) -> None:
        # Whatever happens, closing the pipes ends the remote shell, and with it rsync.
        with contextlib.closing(pipes):
            try:
                # Opening the channel takes a while, and so does rsync's start: both at once.
                self._shell = self.open_shell()
                try:
                    self._carry(pipes, self._shell)
                finally:
                    self._shell.close()
            except HostError as problem:
                self.error = problem

    def _carry(self, pipes: _Pipes, shell: ShellChannel) -> None:
        request = self._receive(pipes.up)
        if request is None:
            return
        command, begun = request
        shell.greet()
        line = f"exec {quote_words(command)}\n".encode("utf-8", "surrogateescape")
        # The thread's own copy: it may outlive this one, whose number is then another file's.
        threading.Thread(
            target=_pump_up,
            args=(os.dup(pipes.up), line + begun, shell),
            name="mlcr-up",
            daemon=True,
        ).start()
        self._pump_down(shell, pipes.down)
        pipes.end(shell.status())

    def _receive(self, up: int) -> tuple[list[str], bytes] | None:
        """Take the command, and what came after it; ``None`` when rsync never got that far."""
        poller = select.poll()
        poller.register(up, select.POLLIN)
        data = b""
        while not self._ended.is_set():
            if not poller.poll(_LOOK_AGAIN * 1000):
                continue
            if not (more := os.read(up, _CHUNK)):
                return None
            data += more
            count, _, rest = data.partition(b"\0")
            # The first piece holds the whole number: it is written at once.
            words = rest.split(b"\0", int(count))
            if len(words) > int(count):
                return [os.fsdecode(word) for word in words[:-1]], words[-1]
        return None

    def _pump_down(self, shell: ShellChannel, descriptor: int) -> None:
        writable = True

        def take(stream: Stream, data: bytes) -> bool:
            nonlocal writable
            if stream is Stream.STDERR:
                self._keep(data)
            elif writable:
                writable = _write_all(descriptor, data, self._ended)
            return False

        shell.read(take)

    def _keep(self, data: bytes) -> None:
        self.messages += data[: max(0, _MAX_MESSAGES - len(self.messages))]


def _pump_up(descriptor: int, begun: bytes, shell: ShellChannel) -> None:
    """Send what rsync writes, then close; the pipe does not block, so it is polled."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
        shell.send(begun)
        while True:
            if not poller.poll(1000):
                if shell.channel.closed:
                    return
                continue
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                shell.end()
                return
            shell.send(data)
    except (OSError, HostError):
        # The reading side sees the broken connection too, and it reports it.
        return
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, ended: threading.Event) -> bool:
    """Write everything; false once rsync has ended."""
    view = memoryview(data)
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while view:
        if not poller.poll(_LOOK_AGAIN * 1000):
            if ended.is_set():
                return False
            continue
        with contextlib.suppress(BlockingIOError):
            view = view[os.write(descriptor, view) :]
    return True


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes, on_stdout: Callable[[bytes], None] | None
) -> tuple[bytes, bytes]:
    """Feed and drain the process; its error output is capped, so that no host can fill memory."""
    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    assert process.stdin is not None  # noqa: S101 - for the type checker
    feeding = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
    feeding.start()
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None  # noqa: S101 - for the type checker
            selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            ready = selector.select(_LOOK_AGAIN)
            if not ready and process.poll() is not None:
                # The remote shell has the same pipes, and may still wait for the host.
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
    for done in (process.stdout, process.stderr):
        assert done is not None  # noqa: S101 - for the type checker
        done.close()
    process.wait()
    return bytes(kept["stdout"]), bytes(kept["stderr"])


def _feed(pipe: IO[bytes], data: bytes) -> None:
    try:
        with pipe:
            pipe.write(data)
    except BrokenPipeError:
        # rsync ended before it had read the list; its status says why.
        return
