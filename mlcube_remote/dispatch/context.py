# SPDX-License-Identifier: Apache-2.0
"""What the stages of one job share: its connection, its events, its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import attrs

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.emitter import JobEvents
from mlcube_remote.events.model import Level, Stage
from mlcube_remote.inventory.model import Host
from mlcube_remote.inventory.typed_hints import hints_as_typed
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.reconnecting import ReconnectingConnection

Step = Callable[[Connection], object]


@attrs.define
class ReconnectSteps:
    """What each new connection to a host repeats, in this order, before the work continues."""

    claim: Step | None = None
    """Claims the job again: the host drops a claim with the connection that holds it."""
    gpus: Step | None = None
    """Leases the job's GPUs again, which are part of the claim."""
    stop: Step | None = None
    """Asks for the stop again, if it was asked for."""

    def __call__(self, connection: Connection) -> None:
        """Repeat the steps."""
        for step in (self.claim, self.gpus, self.stop):
            if step is not None:
                step(connection)

    def forget_claim(self) -> None:
        """Leave out claim and GPUs from now on: the job itself holds them."""
        self.claim = self.gpus = None


@attrs.frozen(kw_only=True)
class JobContext:
    """What the stages of one job share."""

    name: str
    """The job's name, unique in its run."""
    run: RunContext
    events: JobEvents
    connection: ReconnectingConnection
    """The connection to the host."""
    reconnect: ReconnectSteps

    @property
    def host(self) -> str:
        """Name of the job's host."""
        return self.events.host

    def info(self, text: str) -> None:
        """Show the user a line."""
        self.events.note(Level.INFO, text)

    def warn(self, text: str) -> None:
        """Show the user a warning."""
        self.events.note(Level.WARNING, text)

    def debug(self, text: str) -> None:
        """Show a line if the user wants details."""
        self.events.note(Level.DEBUG, text)

    def waiting(self, reason: str) -> None:
        """Report that the job waits, unless the run has ended.

        Raises:
            StoppedByUserError: The run has ended.
        """
        self.run.interrupts.check()
        self.info(f"waiting: {reason}")

    def interruptible(self) -> AbstractContextManager[None]:
        """Close the connection if the run ends during the block."""
        return self.run.interrupts.handled_by(
            self.name, stop=self.connection.close, detach=self.connection.close
        )


@contextmanager
def connect(host: Host, job: str, run: RunContext, events: JobEvents) -> Iterator[JobContext]:
    """Connect to the host of a job.

    Args:
        host: The host.
        job: The job's name, unique in its run.
        run: The run.
        events: The events of the job.

    Raises:
        StoppedByUserError: The run has ended.
        ConnectError: The host cannot be connected to.
    """

    def note(text: str) -> None:
        events.note(Level.INFO, text)

    run.interrupts.check()
    with events.stage(Stage.CONNECT):
        current = run.connections.take(host, note)
    steps = ReconnectSteps()
    connection = ReconnectingConnection(
        current=current,
        dial=partial(run.connect, host, note),
        lost=events.connection_lost,
        restored=events.connection_restored,
        timeout=run.reconnect_timeout,
        on_reconnect=steps,
    )
    with hints_as_typed(host), connection.until_done(run.connections.give_back):
        yield JobContext(name=job, run=run, events=events, connection=connection, reconnect=steps)
