# SPDX-License-Identifier: Apache-2.0
"""How a use case reports to its caller: a terminal, or a program. Use cases print nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import attrs

from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.model import Event
from mlcube_remote.events.outcome import JobOutcome

if TYPE_CHECKING:  # slow to import: connections are opened before
    from mlcube_remote.scheduling.fanout import OnInterrupt


class Observer(Protocol):
    """Follows the jobs of one command."""

    def handle(self, event: Event) -> None:
        """Take an event; called from many threads."""
        ...

    def decide(self) -> OnInterrupt:
        """Return what an interrupt (Ctrl-C) does to running jobs."""
        ...

    def finish(self, outcomes: Sequence[JobOutcome], seconds: float) -> None:
        """Take the outcomes of all jobs, and the duration of the command."""
        ...

    def warn(self, text: str) -> None:
        """Show a warning about this machine, such as a file that could not be written."""
        ...


Observe = Callable[[str, Sequence[str]], AbstractContextManager[Observer]]
"""Opens an observer for a run id and the names of its jobs, for as long as the block lasts."""

Warn = Callable[[str], None]
"""Shows a warning, outside the display of jobs."""


@attrs.frozen(kw_only=True)
class RunReport:
    """The outcomes of a command on the jobs of a run."""

    run_id: str
    outcomes: tuple[JobOutcome, ...]

    @property
    def exit_code_of_errors(self) -> int:
        """Exit code of the jobs that have an error; a failed task alone is none."""
        return exit_code([outcome for outcome in self.outcomes if outcome.error is not None])
