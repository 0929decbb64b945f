# SPDX-License-Identifier: Apache-2.0
r"""A connection without a host, for tests. It gives scripted answers, and no others.

::

    host = FakeConnection("gpu01")
    host.answer("mlcr_print_kind", Reply(0, b"d\n", b""))
    assert host.call("mlcr_print_kind", "/data").text == "d\n"
    assert host.calls == [Call("mlcr_print_kind", ("/data",))]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream, Timeout
from mlcube_remote.transport.quoting import render_call
from mlcube_remote.transport.standard_streams import StandardStreams

Scripted = Reply | HostError | Callable[..., Reply]
"""A reply, an error to raise, or a function that gets the arguments and returns a reply."""

RSYNC = "rsync"
"""The function name for scripting and recording rsyncs."""


class UnexpectedCallError(AssertionError):
    """A call that the test has not scripted."""


@attrs.frozen
class Call:
    """A recorded call."""

    function: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict)
    stdin: bytes = b""


@attrs.define
class FakeConnection:
    """A scripted :class:`mlcube_remote.transport.base.Connection`."""

    name: str = "fake"
    calls: list[Call] = attrs.field(factory=list, init=False)
    """All calls, in order."""
    is_closed: bool = attrs.field(default=False, init=False)
    _script: dict[str, list[Scripted]] = attrs.field(factory=dict, init=False)

    def answer(self, function: str, *answers: Scripted) -> None:
        """Script the answers to a function: each one is used once, the last one repeatedly."""
        self._script.setdefault(function, []).extend(answers)

    def call(
        self,
        function: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,  # noqa: ARG002 - the protocol's
    ) -> Reply:
        """Return the scripted answer.

        Raises:
            HostError: The scripted answer is an error.
            UnexpectedCallError: There is no scripted answer.
            ValueError: A real connection would refuse the call.
        """
        render_call(function, args, env)
        return self._next(Call(function, args, dict(env or {})))

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,  # noqa: ARG002 - the protocol's
    ) -> int:
        """Pass the output of the scripted answer to ``sink``; see :meth:`call`."""
        reply = self.call(function, *args, env=env)
        for stream, data in ((Stream.STDOUT, reply.stdout), (Stream.STDERR, reply.stderr)):
            if data:
                sink(stream, data)
        return reply.code

    def interact(self, function: str, *args: str, terminal: StandardStreams) -> int:
        """Write the output of the scripted answer to the terminal; see :meth:`call`."""
        reply = self.call(function, *args)
        for descriptor, data in ((terminal.stdout, reply.stdout), (terminal.stderr, reply.stderr)):
            if data:
                os.write(descriptor, data)
        return reply.code

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> RsyncResult:
        """Return the scripted answer of :data:`RSYNC`; see :meth:`call`."""
        reply = self._next(Call(RSYNC, tuple(args), stdin=stdin))
        if watch is not None:
            watch()
        if on_stdout is None:
            return RsyncResult(reply.code, reply.stdout, reply.stderr)
        on_stdout(reply.stdout)
        return RsyncResult(reply.code, b"", reply.stderr)

    def expect_channel(self) -> None:
        """Do nothing: there are no channels."""

    def close(self) -> None:
        """Record the call."""
        self.is_closed = True

    def _next(self, call: Call) -> Reply:
        self.calls.append(call)
        script = self._script.get(call.function)
        if not script:
            raise UnexpectedCallError(f"{self.name}: no answer is scripted for {call}")
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, HostError):
            raise answer
        return answer if isinstance(answer, Reply) else answer(*call.args)
