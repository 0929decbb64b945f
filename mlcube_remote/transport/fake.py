# SPDX-License-Identifier: Apache-2.0
r"""A connection to nowhere, for tests: it answers what it was told to, and nothing else.

::

    host = FakeConnection("gpu01")
    host.answer("mlcr_print_kind", Reply(0, b"d\n", b""))
    assert host.call("mlcr_print_kind", "/data").text == "d\n"
    assert host.calls == [Call("mlcr_print_kind", ("/data",))]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.transport.base import OutputSink, Reply, RsyncResult, Stream
from mlcube_remote.transport.quoting import render_call

Scripted = Reply | HostError | Callable[..., Reply]
"""What to answer, to raise, or to ask with the call's arguments."""

RSYNC = "rsync"
"""The name under which rsyncs are scripted and recorded."""


class UnexpectedCallError(AssertionError):
    """Something was asked that the test did not foresee."""


@attrs.frozen
class Call:
    """What was asked."""

    function: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict)
    stdin: bytes = b""


@attrs.define
class FakeConnection:
    """A scripted :class:`mlcube_remote.transport.base.Connection`."""

    name: str = "fake"
    calls: list[Call] = attrs.field(factory=list, init=False)
    """Everything that was asked, in order."""
    is_closed: bool = attrs.field(default=False, init=False)
    _script: dict[str, list[Scripted]] = attrs.field(factory=dict, init=False)

    def answer(self, function: str, *answers: Scripted) -> None:
        """Answer calls of a function: with each of ``answers`` once, and with the last for ever."""
        self._script.setdefault(function, []).extend(answers)

    def call(
        self,
        function: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 60.0,  # noqa: ARG002 - the protocol's
    ) -> Reply:
        """Answer as told.

        Raises:
            HostError: When told so.
            UnexpectedCallError: Nothing was told.
        """
        render_call(function, args, env)  # refuses what no host could be asked
        return self._next(Call(function, args, dict(env or {})))

    def stream(
        self,
        function: str,
        *args: str,
        sink: OutputSink,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the protocol's
    ) -> int:
        """Answer as told, the output through ``sink``; see :meth:`call`."""
        reply = self.call(function, *args, env=env)
        for stream, data in ((Stream.STDOUT, reply.stdout), (Stream.STDERR, reply.stderr)):
            if data:
                sink(stream, data)
        return reply.code

    def rsync(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> RsyncResult:
        """Answer as told for :data:`RSYNC`; see :meth:`call`."""
        reply = self._next(Call(RSYNC, tuple(args), stdin=stdin))
        if on_stdout is None:
            return RsyncResult(reply.code, reply.stdout, reply.stderr)
        on_stdout(reply.stdout)
        return RsyncResult(reply.code, b"", reply.stderr)

    def expect_channel(self) -> None:
        """Nothing to do: there are no channels."""

    def close(self) -> None:
        """Remember that it was called."""
        self.is_closed = True

    def _next(self, call: Call) -> Reply:
        self.calls.append(call)
        script = self._script.get(call.function)
        if not script:
            raise UnexpectedCallError(f"{self.name}: nobody said how to answer {call}")
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, HostError):
            raise answer
        return answer if isinstance(answer, Reply) else answer(*call.args)
