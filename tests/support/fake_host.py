# SPDX-License-Identifier: Apache-2.0
"""A host for unit tests of whole jobs: it answers the shell library's functions from memory.

::

    host = FakeHost()
    host.scripts["train"] = Script(exit_code=3)
    host.cut("mlcr_launch_job", after=True)       # the connection breaks; the next one works
    run = Run(connect=host.connect, sink=events.append)

It keeps its state over connections, as a real host does: a claim dies with its connection, and a
launched job does not. A function that it does not know fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from mlcube_remote.errors import HostError
from mlcube_remote.inventory.model import Host
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import RSYNC, Call
from tests.support.fake_host_state import HostConnection, HostState
from tests.support.fake_jobs import FakeJob
from tests.support.fake_library import FUNCTIONS, STREAMED
from tests.support.fake_mirror import MIRROR_FUNCTIONS
from tests.support.fake_rsync import answer_rsync

Action = Callable[[HostConnection], object]
"""What a hook does, with the connection of the call."""

_ANSWERS = {**FUNCTIONS, **MIRROR_FUNCTIONS}


@attrs.define
class _Hook:
    function: str
    calls_left: int
    after: bool
    action: Action


@attrs.define
class FakeHost(HostState):
    """One host; tests read and change its fields."""

    calls: list[Call] = attrs.field(factory=list, init=False)
    """The calls that reached the host, over all connections."""
    connections: list[HostConnection] = attrs.field(factory=list, init=False)
    _refusals: list[HostError] = attrs.field(factory=list, init=False)
    _is_away: HostError | None = attrs.field(default=None, init=False)
    _hooks: list[_Hook] = attrs.field(factory=list, init=False)
    _answers: dict[str, list[Reply | HostError]] = attrs.field(factory=dict, init=False)

    # What tests prepare and ask.

    def connect(self, _host: Host, _note: Callable[[str], None]) -> HostConnection:
        """Open a connection, or refuse it."""
        if self._refusals:
            raise self._refusals.pop(0)
        if self._is_away is not None:
            raise self._is_away
        connection = HostConnection(self.name)
        for function in (RSYNC, *_ANSWERS):
            connection.answer(function, partial(self._serve, connection, function))
        self.connections.append(connection)
        return connection

    def refuse(self, *errors: HostError, always: HostError | None = None) -> None:
        """Refuse the next connections, or all of them from now on."""
        self._refusals += errors
        self._is_away = always

    def answer(self, function: str, *answers: Reply | HostError) -> None:
        """Answer a function's next calls with these, whatever the state is."""
        self._answers.setdefault(function, []).extend(answers)

    def when(self, function: str, action: Action, *, nth: int = 1, after: bool = False) -> None:
        """Do something before (or after) the ``nth`` call of a function from now on."""
        self._hooks.append(_Hook(function, nth, after, action))

    def cut(self, function: str, *, nth: int = 1, after: bool = False) -> None:
        """Break the connection before (or after) the ``nth`` call of a function takes effect."""
        self.when(function, cut, nth=nth, after=after)

    def cut_follow(self, *sizes: int) -> None:
        """Break the connection of the next follows after these numbers of bytes of output."""
        self.follow_cuts += sizes

    @property
    def job(self) -> FakeJob:
        """The only job."""
        (job,) = self.jobs.values()
        return job

    def functions(self, *without: str) -> list[str]:
        """Return the names of the functions that were called, in order."""
        return [call.function for call in self.calls if call.function not in without]

    def args(self, function: str) -> list[tuple[str, ...]]:
        """Return the arguments of each call of a function."""
        return [call.args for call in self.calls if call.function == function]

    # Answering.

    def _serve(self, connection: HostConnection, function: str, *args: str) -> Reply:
        connection.require()
        self._run_hooks(function, connection, after=False)
        connection.require()
        self.calls.append(Call(function, args))
        if scripted := self._answers.get(function):
            answer = scripted.pop(0)
            if isinstance(answer, HostError):
                raise answer
        elif function == RSYNC:
            answer = answer_rsync(self, connection, args)
        else:
            answer = _ANSWERS[function](self, connection, *args)
        self._run_hooks(function, connection, after=True)
        if function not in STREAMED:
            connection.require()
        return answer

    def _run_hooks(self, function: str, connection: HostConnection, *, after: bool) -> None:
        for hook in [
            each for each in self._hooks if (each.function, each.after) == (function, after)
        ]:
            hook.calls_left -= 1
            if hook.calls_left == 0:
                self._hooks.remove(hook)
                hook.action(connection)


def cut(connection: HostConnection) -> None:
    """Break a connection."""
    connection.is_cut = True
