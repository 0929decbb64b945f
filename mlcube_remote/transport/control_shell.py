# SPDX-License-Identifier: Apache-2.0
"""The shell that answers the calls of one connection, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import attrs

from mlcube_remote.errors import HostError, HostUnfitError
from mlcube_remote.remote import definitions
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Reply, Stream
from mlcube_remote.transport.channel import ShellChannel
from mlcube_remote.transport.quoting import render_call

_END_TIMEOUT_S = 5.0
"""Timeout for the end of an idle shell."""


def join(functions: Mapping[str, str]) -> bytes:
    """Return the shell text that defines functions."""
    return "".join(functions.values()).encode()


@attrs.define
class ControlShell:
    """A shell that is opened for the first call, and again after a call that failed."""

    host: str
    _open: Callable[[], ShellChannel]
    """Opens a shell."""
    _shell: ShellChannel | None = attrs.field(default=None, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    """Held during a call. Reentrant, because opening a shell may call :meth:`release`."""
    _defined: set[str] = attrs.field(factory=set, init=False)
    """Functions that the shell already has."""

    def call(
        self, function: str, args: Sequence[str], *, env: Mapping[str, str] | None, timeout: float
    ) -> Reply:
        """See :meth:`Connection.call <mlcube_remote.transport.base.Connection.call>`.

        Raises:
            NoSessionAvailableError: The server allows no session for the shell.
        """
        text = render_call(function, args, env)
        with self._lock:
            shell = self._ensure_open()
            missing = definitions([function, *args], self._defined)
            answer = framing.Answer(framing.make_marker())
            try:
                # Sent before the shell is ready, which saves the first call a round trip.
                shell.send(join(missing) + framing.frame_call(text, answer.marker))
                self._defined |= missing.keys()
                shell.wait_until_ready()
                return self._receive(shell, function, answer, timeout)
            except HostError:
                # The state of the shell is unknown now.
                shell.close()
                self._shell = None
                raise

    def _ensure_open(self) -> ShellChannel:
        if self._shell is None or self._shell.is_closed:
            self._defined.clear()
            self._shell = self._open()
        return self._shell

    def _receive(
        self, shell: ShellChannel, function: str, answer: framing.Answer, timeout: float
    ) -> Reply:

        def consume(stream: Stream, data: bytes) -> bool:
            if stream is Stream.STDOUT:
                answer.feed_stdout(data)
            else:
                answer.feed_stderr(data)
            return answer.code is not None

        try:
            shell.read(consume, within=timeout)
        except framing.AnswerError as problem:
            raise HostUnfitError(self.host, f"answered {function} with {problem}") from problem
        if answer.code is None:
            raise shell.lost()
        return Reply(answer.code, answer.stdout, answer.stderr)

    def release(self) -> bool:
        """End the shell to free its session; return false if a call is running."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._shell is not None:
                self._shell.end(_END_TIMEOUT_S)
                self._shell = None
        finally:
            self._lock.release()
        return True
