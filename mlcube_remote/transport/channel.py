# SPDX-License-Identifier: Apache-2.0
"""A shell of ours at the other end of one SSH channel."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import attrs
import paramiko

from mlcube_remote.errors import HostUnfitError, StateUnknownError
from mlcube_remote.transport import framing
from mlcube_remote.transport.base import Stream

_CHUNK = 256 * 1024

_LONGEST_WAIT = 5.0
"""Seconds until a channel is looked at again though nothing announced itself."""

_SLOWEST_LINK = 4096
"""Bytes per second that must arrive, so that a slow link has time and a host that drips has not."""

GREETING_TIMEOUT = 30.0
"""Seconds a login shell may take before ours answers."""

Taker = Callable[[Stream, bytes], bool]
"""Receives bytes of one stream; true ends the reading."""


@attrs.define
class ShellChannel:
    """A channel that runs ``/bin/sh -s``: text goes in, two streams of bytes come out.

    What a login shell prints before ours starts is kept out of both streams. Not for several
    threads at once, except that one may send while another reads.
    """

    host: str
    channel: paramiko.Channel
    _greetings: dict[Stream, framing.Greeting] = attrs.field(factory=dict, init=False)
    """The streams on which the login shell may still be heard."""
    _ahead: list[tuple[Stream, bytes]] = attrs.field(factory=list, init=False)
    """What was read too early, to be passed on first."""
    _bell: threading.Event = attrs.field(factory=threading.Event, init=False)
    """Rung when something comes. Paramiko's own descriptor for this can miss a ring, when one
    stream is emptied in the moment that the other is filled."""
    noise: str = attrs.field(default="", init=False)
    """The first bytes that the login shell printed of its own, if it did."""

    def begin(self, text: bytes = b"") -> None:
        """Start the shell, without waiting for an answer.

        Args:
            text: What it executes at once. Without any it waits for one line, once it has greeted;
                what follows that line is not read ahead.
        """
        marker = framing.nonce()
        self._greetings = {stream: framing.Greeting(marker) for stream in Stream}
        self.channel.exec_command(framing.COMMAND)
        self.send(framing.preamble(marker, waits=not text) + text)

    def send(self, data: bytes) -> None:
        """Send bytes to the shell.

        Raises:
            StateUnknownError: The connection is gone.
        """
        try:
            self.channel.sendall(data)
        except EOFError as problem:
            # What Paramiko raises when it is the first to meet the broken connection.
            raise self.lost() from problem
        except OSError as problem:
            # A shell that ended early is noticed, with its reason, when its answer is read.
            if not self._is_connected():
                raise self.lost() from problem

    def greet(self) -> None:
        """Wait until the shell is ours.

        Raises:
            HostUnfitError: What runs there is no usable shell.
            StateUnknownError: The connection is gone.
        """
        heard = dict(self._greetings)
        if Stream.STDOUT not in heard:
            return

        early: list[tuple[Stream, bytes]] = []

        def take(stream: Stream, data: bytes) -> bool:
            early.append((stream, data))
            return stream is Stream.STDOUT

        late = ""
        try:
            done = self._read(take, within=GREETING_TIMEOUT, stop_when_greeted=True)
        except framing.AnswerTooLargeError:
            done = False
        except TimeoutError:
            done, late = False, f"nothing within {GREETING_TIMEOUT:g} s, "
        if done:
            self._ahead = early
            said = heard[Stream.STDOUT]
            self.noise = said.shown if said.noise.strip() else ""
            return
        if not self._is_connected():
            raise self.lost()
        said = heard[Stream.STDOUT] if heard[Stream.STDOUT].noise else heard[Stream.STDERR]
        raise HostUnfitError(
            self.host,
            f"does not give a usable shell: {late}got {said.shown}",
            hint="a login shell that runs commands is needed: check ForceCommand, nologin and "
            "what ~/.bashrc or ~/.cshrc executes for non-interactive sessions",
        )

    def read(
        self, take: Taker, *, silence: float | None = None, within: float | None = None
    ) -> bool:
        """Pass on what comes until ``take`` returns true or the shell has ended.

        Args:
            take: Receives the bytes.
            silence: Seconds without a byte until the host counts as not answering.
            within: Seconds for all of it, on top of what the bytes take on a very slow link.

        Returns:
            Whether ``take`` ended it.

        Raises:
            StateUnknownError: Nothing came in time.
            AnswerTooLargeError: The login shell's noise does not end.
        """
        try:
            return self._read(take, silence=silence, within=within)
        except TimeoutError:
            raise StateUnknownError(
                self.host,
                f"no answer within {within or silence:g} s",
                hint="the host, or its engine, may hang; the connection itself is open",
            ) from None

    def _read(
        self,
        take: Taker,
        *,
        silence: float | None = None,
        within: float | None = None,
        stop_when_greeted: bool = False,
    ) -> bool:
        while self._ahead:
            if take(*self._ahead.pop(0)):
                return True
        self.channel.in_buffer.set_event(self._bell)
        self.channel.in_stderr_buffer.set_event(self._bell)
        last = None if within is None else time.monotonic() + within
        quiet = None if silence is None else time.monotonic() + silence
        while True:
            # Both are looked at before reading: what arrives meanwhile must not be missed.
            self._bell.clear()
            over = self.channel.eof_received or self.channel.closed
            got = False
            for stream, ready, receive in (
                (Stream.STDOUT, self.channel.recv_ready, self.channel.recv),
                (Stream.STDERR, self.channel.recv_stderr_ready, self.channel.recv_stderr),
            ):
                if not ready():
                    continue
                got = True
                raw = receive(_CHUNK)
                if last is not None and not stop_when_greeted:
                    last += len(raw) / _SLOWEST_LINK
                data = self._past_greeting(stream, raw)
                if data and take(stream, data):
                    return True
                if stop_when_greeted and Stream.STDOUT not in self._greetings:
                    return True
            now = time.monotonic()
            if last is not None and now > last:
                raise TimeoutError
            if got:
                quiet = None if silence is None else now + silence
                continue
            if over:
                self._tell_unheard(take)
                return False
            if quiet is not None and now > quiet:
                raise TimeoutError
            ends = (end - now for end in (last, quiet) if end is not None)
            self._bell.wait(min((_LONGEST_WAIT, *ends)))

    def _past_greeting(self, stream: Stream, data: bytes) -> bytes:
        """Return what of ``data`` is not the login shell's."""
        greeting = self._greetings.get(stream)
        if greeting is None:
            return data
        rest = greeting.feed(data)
        if rest is None:
            return b""
        del self._greetings[stream]
        return rest

    def _tell_unheard(self, take: Taker) -> None:
        """Pass on what was said on stderr before the shell was ours, since it never came to be."""
        greeting = self._greetings.pop(Stream.STDERR, None)
        if greeting is not None and greeting.noise:
            take(Stream.STDERR, bytes(greeting.noise))

    def end(self) -> None:
        """Tell the shell that no more text comes.

        Raises:
            StateUnknownError: The connection is gone.
        """
        if self.channel.closed:
            return
        try:
            self.channel.shutdown_write()
        except EOFError as problem:
            raise self.lost() from problem

    def await_end(self, patience: float) -> None:
        """End the shell and wait for its process, whose slot the server frees only then."""
        self.end()
        self.channel.status_event.wait(patience)
        self.close()

    def status(self) -> int:
        """Return the exit status of the shell once it has ended.

        Raises:
            StateUnknownError: None came: the connection broke, or the shell was killed.
        """
        self.channel.status_event.wait(10)
        code = self.channel.exit_status
        if code >= 0:
            return int(code)
        if not self._is_connected():
            raise self.lost()
        raise StateUnknownError(
            self.host,
            "the shell there ended without a status",
            hint="it was killed, or sshd was: look at the host's log and its memory",
        )

    def _is_connected(self) -> bool:
        return self.channel.transport is not None and self.channel.transport.is_active()

    def lost(self) -> StateUnknownError:
        """Return the error for a connection that broke."""
        return self.connection_lost(self.host)

    @staticmethod
    def connection_lost(host: str) -> StateUnknownError:
        """Return the error for a connection to ``host`` that broke."""
        return StateUnknownError(
            host,
            "connection lost",
            hint="what was started there may go on: mlcube-remote ps",
        )

    def close(self) -> None:
        """Close the channel."""
        # On a connection that just broke there is nobody to be told.
        with contextlib.suppress(EOFError):
            self.channel.close()
