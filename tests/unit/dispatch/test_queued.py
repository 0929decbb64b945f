# SPDX-License-Identifier: Apache-2.0
"""A client waits for a job in the queue, rarely asks, and shows each reason once."""

from __future__ import annotations

import itertools
import math
from typing import Any
from unittest.mock import Mock

import attrs
import pytest

from mlcube_remote.dispatch import queued
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.jobs.state import TaskReport
from mlcube_remote.transport.base import Reply, Stream
from tests.support.handles import TICKET

REPORT = TaskReport(exit=None, alive=True, sizes=dict.fromkeys(Stream, 0))


@attrs.define
class Clock:
    """Time that passes only during a sleep."""

    now: float = 0.0
    looks: list[float] = attrs.field(factory=list)
    """When the job was looked at."""
    stopped_at: float = math.inf
    """When somebody stops the job."""
    began_at: float = math.inf
    """When its supervisor starts."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.looks)]

    def call(self, function: str, *paths: str) -> Reply:
        """Answer whether the files exist that say that the job is stopped, or has started."""
        assert function == "mlcr_print_kind"
        assert paths == (f"{TICKET.job_dir}/stop", f"{TICKET.job_dir}/owner")
        kinds = ["f" if self.now >= since else "-" for since in (self.stopped_at, self.began_at)]
        return Reply(0, "\n".join(kinds).encode(), b"")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(queued, "time", clock)
    return clock


def wait(monkeypatch: pytest.MonkeyPatch, clock: Clock, reasons: list[str | None]) -> list[str]:
    """Wait for a job that waits for these reasons, and return what was shown."""
    reports = iter(attrs.evolve(REPORT, queued=reason) for reason in reasons)

    def look(*_: object) -> TaskReport:
        clock.looks.append(clock.now)
        return next(reports)

    monkeypatch.setattr(queued, "read_task", look)
    shown: list[str] = []
    job: Any = Mock()
    job.events.queued = shown.append
    job.connection.retrying = lambda ask: ask(clock)
    queued.wait_in_queue(job, attrs.evolve(TICKET, launcher=Launcher.SLURM))
    return shown


def test_each_reason_is_shown_once(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    reasons = ["Priority", "Priority", "Resources", "Resources", None]
    assert wait(monkeypatch, clock, reasons) == ["Priority", "Resources"]
    assert len(clock.looks) == 5


def test_the_longer_a_job_waits_the_less_often_its_host_is_asked(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    wait(monkeypatch, clock, [*itertools.repeat("Priority", 200), None])
    assert clock.pauses[0] == pytest.approx(0.3)
    assert clock.pauses[-1] == pytest.approx(10)
    assert clock.pauses == pytest.approx(sorted(clock.pauses))
    assert sum(pause < 9.9 for pause in clock.pauses) < 60, "within the first two minutes"


@pytest.mark.parametrize("what", ["stopped_at", "began_at"])
def test_a_stop_and_a_start_are_noticed_within_a_second_even_after_a_long_wait(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, what: str
) -> None:
    setattr(clock, what, 200.0)
    wait(monkeypatch, clock, [*itertools.repeat("Priority", 80), None])
    assert any(200 <= look <= 201 for look in clock.looks)


def test_the_supervisor_of_an_earlier_start_causes_no_further_looks(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    clock.began_at = 0.0
    wait(monkeypatch, clock, [*itertools.repeat("BeginTime", 200), None])
    assert clock.pauses[-1] == pytest.approx(10)
    assert sum(pause < 9.9 for pause in clock.pauses) < 60, "within the first two minutes"


def test_jobs_without_a_queue_are_not_asked(clock: Clock) -> None:
    queued.wait_in_queue(Mock(spec=[]), TICKET)
    assert clock.looks == []
