# SPDX-License-Identifier: Apache-2.0
"""An interrupt that comes when all jobs have ended has nothing to stop."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.events.model import Event, Note
from mlcube_remote.scheduling import fanout
from mlcube_remote.scheduling.fanout import OnInterrupt, wait_with_interrupts


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (OnInterrupt.STOP, "all jobs had already ended: nothing was left to stop"),
        (OnInterrupt.DETACH, "all jobs had already ended: nothing was left to detach from"),
        (KeyboardInterrupt, "all jobs had already ended: nothing was left to detach from"),
    ],
)
def test_jobs_that_end_before_the_answer(
    monkeypatch: pytest.MonkeyPatch, answer: OnInterrupt | type[KeyboardInterrupt], text: str
) -> None:
    events: list[Event] = []
    run = RunContext(connect=lambda _host, _note: pytest.fail("no host"), sink=events.append)
    job: Future[None] = Future()
    waits: list[object] = []

    def wait_all(futures: object) -> None:
        waits.append(futures)
        if len(waits) == 1:
            raise KeyboardInterrupt

    def decide() -> OnInterrupt:
        job.set_result(None)
        if isinstance(answer, OnInterrupt):
            return answer
        raise answer

    monkeypatch.setattr(fanout, "wait_all", wait_all)
    wait_with_interrupts([job], run, decide)
    assert not run.interrupts.is_ending
    assert [event.text for event in events if isinstance(event, Note)] == [text]
