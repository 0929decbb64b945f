# SPDX-License-Identifier: Apache-2.0
"""A client waits for a job in the queue, rarely asks, and shows each reason once."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import Mock

import attrs
import pytest

from mlcube_remote.dispatch import queued
from mlcube_remote.inventory.model import Launcher
from mlcube_remote.jobs.state import TaskReport
from mlcube_remote.transport.base import Stream
from tests.support.handles import TICKET

REPORT = TaskReport(exit=None, alive=True, sizes=dict.fromkeys(Stream, 0))


@attrs.define
class Clock:
    """Time that passes only during a sleep."""

    now: float = 0.0
    naps: list[float] = attrs.field(factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(queued, "time", clock)
    return clock


def wait(monkeypatch: pytest.MonkeyPatch, reasons: list[str | None]) -> list[str]:
    """Wait for a job that waits for these reasons, and return what was shown."""
    reports = iter(attrs.evolve(REPORT, queued=reason) for reason in reasons)
    monkeypatch.setattr(queued, "read_task", lambda *_: next(reports))
    shown: list[str] = []
    job: Any = Mock()
    job.info = shown.append
    job.connection.retrying = lambda ask: ask(None)
    queued.wait_in_queue(job, attrs.evolve(TICKET, launcher=Launcher.SLURM))
    return shown


def test_each_reason_is_shown_once(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    reasons = ["Priority", "Priority", "Resources", "Resources", None]
    assert wait(monkeypatch, reasons) == ["queued by Slurm: Priority", "queued by Slurm: Resources"]
    assert len(clock.naps) == 4


def test_the_longer_a_job_waits_the_less_often_its_host_is_asked(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    wait(monkeypatch, [*itertools.repeat("Priority", 200), None])
    assert clock.naps[0] == pytest.approx(0.3)
    assert clock.naps[-1] == pytest.approx(10)
    assert clock.naps == sorted(clock.naps)
    assert sum(nap < 10 for nap in clock.naps) < 60, "within the first two minutes"


def test_jobs_without_a_queue_are_not_asked(clock: Clock) -> None:
    queued.wait_in_queue(Mock(spec=[]), TICKET)
    assert clock.naps == []
