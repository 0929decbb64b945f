# SPDX-License-Identifier: Apache-2.0
"""One SSH connection to one host: a control shell for calls, and a channel for each stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.inventory.model import Host
from mlcube_remote.remote import definitions
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream, Timeout
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.command_text import render_command, render_line
from mlcube_remote.transport.control_shell import ControlShell, join
from mlcube_remote.transport.link import Link, connection_lost
from mlcube_remote.transport.quoting import render_call
from mlcube_remote.transport.sessions import NoSessionAvailableError, Sessions

if TYPE_CHECKING:
    from mlcube_remote.transport.standard_streams import StandardStreams


@attrs.define
class SSHConnection:
    """See :class:`mlcube_remote.transport.base.Connection`."""

    host: Host
    _link: Link
    _open_second: Callable[[], SSHConnection] | None
    """Logs in once more; ``None`` for the second connection itself."""
    _note: Callable[[str], None]
    _control: ControlShell = attrs.field(init=False)
    _sessions: Sessions = attrs.field(init=False)
    _second: SSHConnection | None = attrs.field(default=None, init=False)
    """For calls during a stream, if the server allows one session per connection."""
    _second_lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._control = ControlShell(self.name, self._open_control)
        self._sessions = Sessions(self.name, self._link, self._control.release)

    @classmethod
    def open(
        cls, host: Host, open_link: Callable[[], Link], note: Callable[[str], None]
    ) -> SSHConnection:
        """Connect and log in.

        Args:
            host: The host.
            open_link: Connects and logs in; called once more if the server allows only one session
                per connection.
            note: Called with lines for the user.

        Raises:
            ConnectError: The connection or the login failed.
        """

        def open_second() -> SSHConnection:
            return cls(host, open_link(), None, note)

        return cls(host, open_link(), open_second, note)

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
        try:
            return self._control.call(function, args, env=env, timeout=timeout)
        except NoSessionAvailableError as problem:
            second = self._second_connection(problem)
        return second.call(function, *args, env=env, timeout=timeout)

    def _open_control(self) -> ShellChannel:
        return self._sessions.open(b"\n", is_brief=True)

    def _second_connection(self, problem: NoSessionAvailableError) -> SSHConnection:
        with self._second_lock:
            if self._second is None:
                if self._open_second is None:
                    raise self._sessions.refused(problem) from problem
                self._note("its sshd allows too few sessions per connection: logging in once more")
                self._second = self._open_second()
            return self._second

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,
    ) -> int:
        """See :meth:`Connection.stream <mlcube_remote.transport.base.Connection.stream>`."""
        text = render_call(function, args, env) + b" </dev/null\nexit $?\n"

        def consume(stream: Stream, data: bytes) -> bool:
            sink(stream, data)
            return False

        with self._sessions.stream_session() as shell:
            shell.wait_until_ready()
            # The shell waits for one line: an empty one, then it reads the text as a script.
            shell.send(b"\n" + join(definitions([function, *args])) + text)
            shell.end_input()
            shell.read(consume, silence=timeout)
            return shell.wait_for_status()

    def interact(self, function: str, *args: str, terminal: StandardStreams) -> int:
        """See :meth:`Connection.interact <mlcube_remote.transport.base.Connection.interact>`."""
        from mlcube_remote.transport.standard_streams import (  # noqa: PLC0415 - only for shells
            connect_shell,
            connect_terminal,
        )

        if terminal.is_interactive:
            command = render_command(function, args)
            with self._sessions.command_session(command, terminal) as session:
                status = connect_terminal(session, terminal)
            if status is None:
                raise connection_lost(self.name)
            return status
        # Not a command of its own: what a login shell prints must not become output of the call.
        with self._sessions.stream_session() as shell:
            shell.wait_until_ready()
            shell.send(render_line(function, args).encode() + b"\n")
            connect_shell(shell, terminal)
            return shell.wait_for_status()

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> RsyncResult:
        """See :meth:`Connection.rsync <mlcube_remote.transport.base.Connection.rsync>`."""
        from mlcube_remote.transport.rate_floor import RateFloor  # noqa: PLC0415 - not for each run
        from mlcube_remote.transport.rsync_relay import RsyncRelay  # noqa: PLC0415

        relay = RsyncRelay(self._sessions.acquire, RateFloor(self.name, self.host.min_rate))
        return relay.run(args, stdin=stdin, on_stdout=on_stdout, watch=watch)

    def expect_channel(self) -> None:
        """Open a channel early; see :class:`mlcube_remote.transport.base.Connection`."""
        self._sessions.open_early()

    def close(self) -> None:
        """Close the connection."""
        self._link.close()
        if self._second is not None:
            self._second.close()
