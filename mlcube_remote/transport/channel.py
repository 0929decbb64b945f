# SPDX-License-Identifier: Apache-2.0
"""A shell of ours at the other end of one SSH channel."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import attrs
import paramiko

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Stream

_CHUNK = 256 * 1024

GREETING_TIMEOUT = 30.0
"""Seconds a login shell may take before ours answers."""


@attrs.define
class ShellChannel:
    """A channel that runs ``/bin/sh -s``: text goes in, two streams of bytes come out.

    Not for several threads at once, except that one may send while another reads.
    """

    host: str
    channel: paramiko.Channel
    _greeting: framing.Greeting | None = attrs.field(default=None, init=False)
    _ahead: bytes = attrs.field(default=b"", init=False)
    noise: str = attrs.field(default="", init=False)
    """The first bytes that the login shell printed of its own, if it did."""

    def begin(self, text: bytes = b"") -> None:
        """Start the shell and send the preamble, then ``text``, without waiting for an answer."""
        marker = framing.nonce()
        self._greeting = framing.Greeting(marker)
        self.channel.exec_command(framing.COMMAND)
        self.send(framing.preamble(marker) + text)

    def send(self, data: bytes) -> None:
        """Send bytes to the shell.

        Raises:
            StateUnknownError: The connection is gone.
        """
        try:
            self.channel.sendall(data)
        except OSError as problem:
            # A shell that ended early is noticed, with its reason, when its answer is read.
            if self.channel.transport is None or not self.channel.transport.is_active():
                raise self.lost() from problem

    def greet(self) -> None:
        """Wait until the shell is ours.

        Raises:
            HostUnfitError: What runs there is no usable shell.
            StateUnknownError: The connection is gone.
        """
        greeting = self._greeting
        if greeting is None:
            return
        rest: bytes | None = None
        complaint = bytearray()

        def take(stream: Stream, data: bytes) -> bool:
            nonlocal rest
            if stream is Stream.STDERR:
                complaint.extend(data[:1024])
                return False
            rest = (rest + data) if rest is not None else greeting.feed(data)
            return rest is not None

        try:
            done = self.read(take, timeout=GREETING_TIMEOUT)
        except framing.AnswerTooLargeError:
            done = False
        if rest is None:
            self._require_transport()
            said = greeting.shown if greeting.noise else repr(bytes(complaint[:80]))[1:]
            late = "" if done is False or self.channel.closed else "nothing in time, "
            raise HostUnfitError(
                self.host,
                f"does not give a usable shell: {late}got {said}",
                hint="a login shell that runs commands is needed: check ForceCommand, nologin and "
                "what ~/.bashrc or ~/.cshrc executes for non-interactive sessions",
            )
        self.noise = greeting.shown if greeting.noise.strip() else ""
        self._greeting, self._ahead = None, rest

    def push_back(self, data: bytes) -> None:
        """Put bytes of standard output back, to be read again first."""
        self._ahead = data + self._ahead

    def read(self, take: Callable[[Stream, bytes], bool], *, timeout: float | None = None) -> bool:
        """Pass on what comes until ``take`` returns true or the shell has ended.

        Args:
            take: Receives bytes of one stream; true ends the reading.
            timeout: Seconds without a byte until the host counts as not answering.

        Returns:
            Whether ``take`` ended it.

        Raises:
            StateUnknownError: Nothing came in time.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            if take(Stream.STDOUT, ahead):
                return True
        poller = select.poll()
        poller.register(self.channel.fileno(), select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # Looked at before reading: what arrives with the end must not be missed.
            over = self.channel.eof_received or self.channel.closed
            got = False
            for stream, ready, receive in (
                (Stream.STDOUT, self.channel.recv_ready, self.channel.recv),
                (Stream.STDERR, self.channel.recv_stderr_ready, self.channel.recv_stderr),
            ):
                while ready():
                    got = True
                    if take(stream, receive(_CHUNK)):
                        return True
            if got:
                deadline = None if timeout is None else time.monotonic() + timeout
                continue
            if over:
                return False
            wait = 1000 if deadline is None else min(1.0, deadline - time.monotonic()) * 1000
            if wait <= 0:
                raise StateUnknownError(
                    self.host,
                    f"no answer within {timeout:g} s",
                    hint="the host, or its engine, may hang; the connection itself is open",
                )
            poller.poll(wait)

    def end(self) -> None:
        """Tell the shell that no more text comes."""
        if not self.channel.closed:
            self.channel.shutdown_write()

    def status(self) -> int:
        """Return the exit status of the shell once it has ended.

        Raises:
            StateUnknownError: None came: the connection broke, so nothing is known.
        """
        self.channel.status_event.wait(10)
        code = self.channel.exit_status
        if code < 0:
            raise self.lost()
        return int(code)

    def lost(self) -> StateUnknownError:
        """Return the error for a connection that broke."""
        return self.connection_lost(self.host)

    @staticmethod
    def connection_lost(host: str) -> StateUnknownError:
        """Return the error for a connection to ``host`` that broke."""
        return StateUnknownError(
            host,
            "connection lost",
            hint="what was started there may go on; run it again to see",
        )

    def _require_transport(self) -> None:
        if self.channel.transport is None or not self.channel.transport.is_active():
            raise self.lost()

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
