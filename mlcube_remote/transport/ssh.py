# SPDX-License-Identifier: Apache-2.0
"""One SSH connection to one host: a control shell for small exchanges, channels for the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host
from mlcube_remote.remote import definitions
from mlcube_remote.transport import framing
from mlcube_remote.transport.auth import Credentials
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.keepalive import Liveness
from mlcube_remote.transport.quoting import render_call
from mlcube_remote.transport.rsync_relay import Relay
from mlcube_remote.transport.sessions import OccupiedError, Sessions
from mlcube_remote.transport.ssh_transport import Caller, Dialled, dial


@attrs.define
class SSHConnection:
    """See :class:`mlcube_remote.transport.base.Connection`."""

    host: Host
    _dialled: Dialled
    _liveness: Liveness
    _again: Callable[[], SSHConnection] | None
    """Logs in once more; ``None`` where that has been done."""
    _note: Callable[[str], None]
    _sessions: Sessions = attrs.field(init=False)
    _control: ShellChannel | None = attrs.field(default=None, init=False)
    _control_lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    _told: set[str] = attrs.field(factory=set, init=False)
    """Functions that the control shell knows."""
    _second: SSHConnection | None = attrs.field(default=None, init=False)
    """For calls beside a stream, where the server allows one session per connection."""

    def __attrs_post_init__(self) -> None:
        self._sessions = Sessions(self.name, self._dialled.transport, self._release_control)

    @classmethod
    def open(
        cls,
        host: Host,
        endpoint: Endpoint,
        credentials: Credentials,
        note: Callable[[str], None],
        *,
        is_second: bool = False,
    ) -> SSHConnection:
        """Connect and log in.

        Args:
            host: Where to.
            endpoint: How.
            credentials: What the user typed.
            note: Told what the user should know.
            is_second: Whether this serves another connection, which has no session left.

        Raises:
            ConnectError: No session could be had.
        """
        caller = Caller(
            host=host.name, host_keys=host.host_keys, credentials=credentials, note=note
        )
        dialled = dial(endpoint, caller)
        liveness = Liveness(dialled.transport, dialled.wire, host.keepalive)
        liveness.start()
        again = partial(cls.open, host, endpoint, credentials, note, is_second=True)
        return cls(host, dialled, liveness, None if is_second else again, note)

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
            try:
                shell = self._control_shell()
            except OccupiedError as problem:
                beside = self._beside(problem)
                return beside.call(function, *args, env=env, timeout=timeout)
            untold = definitions([function, *args], self._told)
            answer = framing.Answer(framing.nonce())
            try:
                # Sent before the greeting is awaited: the first call then costs no round trip more.
                shell.send(_text(untold) + framing.framed(text, answer.marker))
                self._told |= untold.keys()
                shell.greet()
                return self._receive(shell, function, answer, timeout)
            except HostError:
                # A shell that did not answer as agreed is of no further use.
                self._close_control()
                raise

    def _receive(
        self, shell: ShellChannel, function: str, answer: framing.Answer, timeout: float
    ) -> Reply:

        def take(stream: Stream, data: bytes) -> bool:
            if stream is Stream.STDOUT:
                answer.feed_stdout(data)
            else:
                answer.feed_stderr(data)
            return answer.code is not None

        try:
            shell.read(take, within=timeout)
        except framing.AnswerError as problem:
            raise HostUnfitError(self.name, f"answered {function} with {problem}") from problem
        if answer.code is None:
            raise shell.lost()
        return Reply(answer.code, answer.stdout, answer.stderr)

    def _control_shell(self) -> ShellChannel:
        if self._control is None or self._control.channel.closed:
            self._told.clear()
            self._control = self._sessions.open(b"\n", is_brief=True)
        return self._control

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def _release_control(self) -> bool:
        """Give up the control shell, whose session something else needs, unless it is at work."""
        if not self._control_lock.acquire(blocking=False):
            return False
        try:
            if self._control is not None:
                self._control.await_end(5)
                self._control = None
        finally:
            self._control_lock.release()
        return True

    def _beside(self, problem: OccupiedError) -> SSHConnection:
        if self._second is None:
            if self._again is None:
                raise self._sessions.refused(problem) from problem
            self._note("its sshd allows too few sessions per connection: logging in once more")
            self._second = self._again()
        return self._second

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

        def take(stream: Stream, data: bytes) -> bool:
            sink(stream, data)
            return False

        with self._sessions.lasting() as shell:
            shell.greet()
            # After the line that it waits for comes a script.
            shell.send(b"\n" + _text(definitions([function, *args])) + text)
            shell.end()
            shell.read(take, silence=timeout)
            return shell.status()

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> RsyncResult:
        """See :meth:`Connection.rsync <mlcube_remote.transport.base.Connection.rsync>`."""
        return Relay(self._sessions.take).run(args, stdin=stdin, on_stdout=on_stdout)

    def expect_channel(self) -> None:
        """Open a channel ahead; see :class:`mlcube_remote.transport.base.Connection`."""
        self._sessions.open_ahead()

    def close(self) -> None:
        """End the session."""
        self._liveness.stop()
        self._dialled.close()
        if self._second is not None:
            self._second.close()


def _text(functions: Mapping[str, str]) -> bytes:
    """Return the shell text that defines functions."""
    return "".join(functions.values()).encode()
