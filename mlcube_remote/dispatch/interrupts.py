# SPDX-License-Identifier: Apache-2.0
"""End the jobs of a run together: stop them, cancel them, or detach from them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from mlcube_remote.errors import CancelledError, StoppedByUserError


@attrs.frozen
class _Handlers:
    """How to end the work on one job."""

    stop: Callable[[], None]
    detach: Callable[[], None]


@attrs.define
class Interrupts:
    """Whether a run should end, and how to tell its jobs."""

    stopping: threading.Event = attrs.field(factory=threading.Event)
    """Set if the jobs should stop."""
    detaching: threading.Event = attrs.field(factory=threading.Event)
    """Set if the client should exit and leave the jobs running."""
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _handlers: dict[str, _Handlers] = attrs.field(factory=dict, init=False)
    """Job name → its handlers."""
    _reason: str | None = attrs.field(default=None, init=False)
    """Why the run was cancelled, if the user did not end it."""

    @property
    def is_ending(self) -> bool:
        """Whether nothing new should be started."""
        return self.stopping.is_set() or self.detaching.is_set()

    @contextmanager
    def handled_by(
        self, job: str, *, stop: Callable[[], None], detach: Callable[[], None]
    ) -> Iterator[None]:
        """Call these functions if the run ends during the block, or has ended before.

        Args:
            job: The job's name.
            stop: Ends the work, on the host too.
            detach: Ends the work of this client; what runs on the host continues.
        """
        with self._guard:
            self._handlers[job] = _Handlers(stop, detach)
            # An end that comes later calls them.
            is_stopping, is_detaching = self.stopping.is_set(), self.detaching.is_set()
        try:
            if is_stopping:
                stop()
            if is_detaching:
                detach()
            yield
        finally:
            with self._guard:
                self._handlers.pop(job, None)

    def stop(self) -> None:
        """Stop every job: running tasks are ended, and nothing new is started."""
        self._begin(self.stopping, lambda handlers: handlers.stop)

    def cancel(self, reason: str) -> None:
        """Stop every job because others have failed; ``reason`` is reported for each."""
        self._reason = reason
        self.stop()

    def detach(self) -> None:
        """Stop following every job: running tasks continue, and nothing new is started."""
        self._begin(self.detaching, lambda handlers: handlers.detach)

    def error(self) -> StoppedByUserError:
        """Return the error for a job that was ended."""
        return StoppedByUserError() if self._reason is None else CancelledError(self._reason)

    def check(self) -> None:
        """Raise if nothing new should be started.

        Raises:
            StoppedByUserError: The run was ended.
        """
        if self.is_ending:
            raise self.error()

    def _begin(
        self, end: threading.Event, which: Callable[[_Handlers], Callable[[], None]]
    ) -> None:
        """Set the event, and call each handler; both only once."""
        with self._guard:
            if end.is_set():
                return
            end.set()
            functions = [which(handlers) for handlers in self._handlers.values()]
        for function in functions:
            threading.Thread(target=function, daemon=True).start()
