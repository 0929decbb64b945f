# SPDX-License-Identifier: Apache-2.0
"""One SSH connection to one host: a control shell for small exchanges, channels for the rest."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import attrs
import paramiko

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host
from mlcube_remote.remote import library
from mlcube_remote.transport import framing
from mlcube_remote.transport.auth import Credentials
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.dial import PACKET, WINDOW, Caller, Dialled, dial
from mlcube_remote.transport.liveness import Liveness
from mlcube_remote.transport.quoting import render_call
from mlcube_remote.transport.relay import Relay

_CHANNEL_PATIENCE = 15.0
"""Seconds to wait for a channel that the server refuses while another one still ends."""


@attrs.define
class SSHConnection:
    """See :class:`mlcube_remote.transport.base.Connection`."""

    host: Host
    _dialled: Dialled
    _liveness: Liveness
    _ahead: queue.SimpleQueue[Future[ShellChannel]] = attrs.field(
        factory=queue.SimpleQueue, init=False
    )
    _control: ShellChannel | None = attrs.field(default=None, init=False)
    _control_lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    @classmethod
    def open(
        cls,
        host: Host,
        endpoint: Endpoint,
        credentials: Credentials,
        note: Callable[[str], None],
    ) -> SSHConnection:
        """Connect and log in.

        Raises:
            ConnectError: No session could be had.
        """
        caller = Caller(
            host=host.name, host_keys=host.host_keys, credentials=credentials, note=note
        )
        dialled = dial(endpoint, caller)
        connection = cls(host, dialled, Liveness(dialled.transport, host.keepalive))
        connection._liveness.start()
        return connection

    @property
    def name(self) -> str:
        """The host's inventory name."""
        return self.host.name

    def call(
        self,
        function: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """See :meth:`Connection.call <mlcube_remote.transport.base.Connection.call>`."""
        text = render_call(function, args, env)
        with self._control_lock:
            shell = self._control_shell()
            try:
                return self._exchange(shell, function, text, timeout)
            except HostError:
                # A shell that did not answer as agreed is of no further use.
                self._close_control()
                raise

    def _exchange(self, shell: ShellChannel, function: str, text: bytes, timeout: float) -> Reply:
        answer = framing.Answer(framing.nonce())
        # Sent before the greeting is awaited: the first call then costs no round trip more.
        shell.send(framing.framed(text, answer.marker))
        shell.greet()

        def take(stream: Stream, data: bytes) -> bool:
            if stream is Stream.STDOUT:
                answer.feed_stdout(data)
            else:
                answer.feed_stderr(data)
            return answer.code is not None

        try:
            shell.read(take, timeout=timeout)
        except framing.AnswerTooLargeError as problem:
            raise HostUnfitError(
                self.name, f"answered {function} with more than 1 MiB; refused"
            ) from problem
        if answer.code is None:
            raise shell.lost()
        return Reply(answer.code, bytes(answer.stdout), bytes(answer.stderr))

    def _control_shell(self) -> ShellChannel:
        if self._control is None or self._control.channel.closed:
            self._control = self._open_shell(library().encode())
        return self._control

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> int:
        """See :meth:`Connection.stream <mlcube_remote.transport.base.Connection.stream>`."""
        text = render_call(function, args, env) + b" </dev/null\nexit $?\n"
        shell = self._take_shell()
        try:
            shell.send(library().encode() + text)
            shell.end()
            shell.greet()

            def take(stream: Stream, data: bytes) -> bool:
                sink(stream, data)
                return False

            shell.read(take, timeout=timeout)
            return shell.status()
        finally:
            shell.close()

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> RsyncResult:
        """See :meth:`Connection.rsync <mlcube_remote.transport.base.Connection.rsync>`."""
        return Relay(self._take_shell).run(args, stdin=stdin, on_stdout=on_stdout)

    def expect_channel(self) -> None:
        """Open a channel ahead, as :class:`~mlcube_remote.transport.base.Connection` says."""
        opening: Future[ShellChannel] = Future()

        def open_it() -> None:
            try:
                opening.set_result(self._open_shell())
            except HostError as problem:
                opening.set_exception(problem)

        self._ahead.put(opening)
        threading.Thread(target=open_it, name="mlcr-ahead", daemon=True).start()

    def _take_shell(self) -> ShellChannel:
        """Return a shell that was opened ahead, or a new one."""
        try:
            opening = self._ahead.get_nowait()
        except queue.Empty:
            return self._open_shell()
        try:
            shell = opening.result()
        except HostError:
            return self._open_shell()
        return self._open_shell() if shell.channel.closed else shell

    def _open_shell(self, text: bytes = b"") -> ShellChannel:
        shell = ShellChannel(self.name, self._open_channel())
        try:
            shell.begin(text)
        except (paramiko.SSHException, EOFError) as problem:
            shell.close()
            if not self._dialled.transport.is_active():
                raise shell.lost() from problem
            raise HostUnfitError(
                self.name,
                f"refused to run a command: {problem}",
                hint="the account must be allowed to run commands (see ForceCommand, nologin)",
            ) from problem
        return shell

    def _open_channel(self) -> paramiko.Channel:
        """Open a session, giving up the idle control shell where the server allows only one."""
        deadline = time.monotonic() + _CHANNEL_PATIENCE
        while True:
            try:
                return self._dialled.transport.open_session(
                    window_size=WINDOW, max_packet_size=PACKET, timeout=60
                )
            except paramiko.ChannelException as problem:
                self._make_room()
                if time.monotonic() > deadline:
                    raise HostUnfitError(
                        self.name,
                        f"allows no further session on this connection ({problem.text})",
                        hint="raise MaxSessions in its sshd_config (the default is 10)",
                    ) from problem
                time.sleep(0.05)
            except (paramiko.SSHException, EOFError, OSError) as problem:
                raise ShellChannel.connection_lost(self.name) from problem

    def _make_room(self) -> None:
        if not self._control_lock.acquire(blocking=False):
            return
        try:
            if self._control is not None and not self._control.channel.closed:
                # The slot is free only once the shell's process has ended.
                self._control.end()
                self._control.read(lambda _stream, _data: False, timeout=5)
            self._close_control()
        finally:
            self._control_lock.release()

    def close(self) -> None:
        """End the session."""
        self._liveness.stop()
        self._dialled.close()
