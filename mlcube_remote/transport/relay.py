# SPDX-License-Identifier: Apache-2.0
"""Carrying rsync's protocol over the connection that is open already.

rsync starts :mod:`mlcube_remote.transport.rsh` as its remote shell. That hands over its standard
descriptors, and the bytes are pumped between them and a channel running ``rsync --server``. So
rsync needs no login of its own: no second host-key check, no second hop.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import attrs

from mlcube_remote.errors import HostError, HostUnfitError, UsageError
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import RsyncResult, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.quoting import quote_words

_CHUNK = 128 * 1024
_MAX_MESSAGES = 256 * 1024
_LOOK_AGAIN = 0.5
"""Seconds until rsync's process is looked at though it is silent."""
_START_TIMEOUT = 60.0
_END_TIMEOUT = 15.0
"""Seconds that the other side may go on once this side's rsync has ended."""


def _remote_shell(descriptor: int) -> str:
    """Return the value of rsync's ``-e``, which rsync splits at spaces outside quotes."""
    words = (sys.executable, "-I", "-S", str(Path(__file__).with_name("rsh.py")), str(descriptor))
    # Within quotes a doubled quote stands for one.
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)


@attrs.define
class Relay:
    """One rsync over one channel."""

    open_shell: Callable[[], ShellChannel]
    messages: bytearray = attrs.field(factory=bytearray, init=False)
    """What the remote side wrote to its standard error, capped."""
    error: HostError | None = attrs.field(default=None, init=False)
    _shell: ShellChannel | None = attrs.field(default=None, init=False)

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
        ours, theirs = socket.socketpair()
        serving = threading.Thread(target=self._serve, args=(ours,), name="mlcr-relay", daemon=True)
        with ours:
            try:
                process = subprocess.Popen(
                    ["rsync", "-s", "-e", _remote_shell(theirs.fileno()), *args],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, "LC_ALL": "C"},
                )
            except FileNotFoundError as problem:
                theirs.close()
                raise UsageError(
                    "rsync was not found on this machine", hint="install it (apt-get install rsync)"
                ) from problem
            theirs.close()
            serving.start()
            try:
                stdout, stderr = _communicate(process, stdin, on_stdout)
            except BaseException:
                process.kill()
                process.wait()
                raise
            serving.join(_END_TIMEOUT)
            if serving.is_alive() and self._shell is not None:
                # rsync has given up, and its status says why; the other side only talks on.
                self._shell.close()
                serving.join()
                self.error = None
        if self.error is not None:
            raise self.error
        return RsyncResult(process.returncode, stdout, bytes(self.messages) + stderr)

    def _serve(self, ours: socket.socket) -> None:
        # Whatever happens, closing the socket ends the helper, and with it rsync.
        with ours:
            try:
                # Opening the channel takes a while, and so does rsync's start: both at once.
                self._shell = self.open_shell()
                try:
                    self._carry(ours, self._shell)
                finally:
                    self._shell.close()
            except HostError as problem:
                self.error = problem

    def _carry(self, ours: socket.socket, shell: ShellChannel) -> None:
        request = _receive(ours)
        if request is None:
            return
        command, descriptors = request
        try:
            marker = framing.nonce()
            line = f"printf '%s\\n' '{marker.decode()}'; exec {quote_words(command)}\n"
            shell.send(line.encode("utf-8", "surrogateescape"))
            shell.greet()
            # Only once the shell has read its last line may the protocol's bytes follow.
            self._await(shell, marker)
            # The thread's own copy: it may outlive this one, whose number is then another file's.
            threading.Thread(
                target=_pump_up, args=(os.dup(descriptors[0]), shell), name="mlcr-up", daemon=True
            ).start()
            self._pump_down(shell, descriptors[1])
            code = shell.status()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        with contextlib.suppress(OSError):
            # rsync may have ended already; its own status says how.
            ours.sendall(bytes([code & 0xFF]))

    def _await(self, shell: ShellChannel, marker: bytes) -> None:
        greeting = framing.Greeting(marker)
        rest: bytes | None = None

        def take(stream: Stream, data: bytes) -> bool:
            nonlocal rest
            if stream is Stream.STDERR:
                self._keep(data)
                return False
            rest = greeting.feed(data)
            return rest is not None

        try:
            shell.read(take, within=_START_TIMEOUT)
        except framing.AnswerError as problem:
            raise HostUnfitError(
                shell.host, f"its shell talks instead of starting rsync: {greeting.shown}"
            ) from problem
        if rest:
            shell.push_back(rest)

    def _pump_down(self, shell: ShellChannel, descriptor: int) -> None:
        writable = True

        def take(stream: Stream, data: bytes) -> bool:
            nonlocal writable
            if stream is Stream.STDERR:
                self._keep(data)
            elif writable:
                writable = _write_all(descriptor, data)
            return False

        shell.read(take)

    def _keep(self, data: bytes) -> None:
        self.messages += data[: max(0, _MAX_MESSAGES - len(self.messages))]


def _receive(ours: socket.socket) -> tuple[list[str], list[int]] | None:
    """Take the descriptors and the command; ``None`` when rsync never started its remote shell."""
    size = _exactly(ours, 4)
    if size is None:
        return None
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 3)
    command = _exactly(ours, int.from_bytes(size, "big"))
    if command is None:
        return None
    return os.fsdecode(command).split("\0"), list(descriptors)


def _exactly(ours: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        try:
            more = ours.recv(count - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def _pump_up(descriptor: int, shell: ShellChannel) -> None:
    """Send what rsync writes, then close; rsync's descriptors do not block, so they are polled."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
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


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write everything; false once rsync no longer reads."""
    view = memoryview(data)
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poller.poll(1000)
        except OSError:
            return False
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
