# SPDX-License-Identifier: Apache-2.0
"""Pass events to the program that called a function."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import attrs

from mlcube_remote.app.observer import Observe
from mlcube_remote.events.model import Event
from mlcube_remote.events.outcome import JobOutcome
from mlcube_remote.scheduling.fanout import OnInterrupt

OnEvent = Callable[[Event], None]
"""Takes one event at a time, from threads that are not the caller's."""


def warn(text: str) -> None:
    """Print a warning to standard error."""
    sys.stderr.write(f"warning: {text}\n")


@attrs.frozen
class CallbackObserver:
    """Passes events on to a function of the caller."""

    on_event: OnEvent | None

    def handle(self, event: Event) -> None:
        """Pass an event on."""
        if self.on_event is not None:
            self.on_event(event)

    def decide(self) -> OnInterrupt:
        """Return that an interrupt stops the jobs."""
        return OnInterrupt.STOP

    def finish(self, outcomes: Sequence[JobOutcome], seconds: float) -> None:
        """Do nothing: the caller gets the outcomes."""

    def warn(self, text: str) -> None:
        """Print a warning to standard error."""
        warn(text)


def to_callback(on_event: OnEvent | None) -> Observe:
    """Return an observer that passes events on to ``on_event``."""

    @contextlib.contextmanager
    def observe(_run_id: str, _jobs: Sequence[str]) -> Iterator[CallbackObserver]:
        yield CallbackObserver(on_event)

    return observe
