# SPDX-License-Identifier: Apache-2.0
"""Jobs that share a batch job: the last one to arrive submits it, for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import attrs
import pytest

from mlcube_remote.dispatch import packs
from mlcube_remote.dispatch.packs import Pack
from mlcube_remote.errors import HostUnfitError, StoppedByUserError
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection
from tests.support.handles import TICKET
from tests.support.waiting import wait_for


@attrs.define
class Login:
    """A login node whose Slurm gives one answer."""

    reply: Reply = Reply(0, b"", b"")
    connection: FakeConnection = attrs.field(factory=lambda: FakeConnection("h"))
    waiting: list[str] = attrs.field(factory=list)
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def arrive(self, pack: Pack, name: str, check: Callable[[], None] = lambda: None) -> None:
        self.connection.answer("mlcr_submit_together", self.reply)
        self.connection.answer("mlcr_withdraw_together", Reply(0, b"", b""))
        job, plan = Mock(), Mock()
        job.host, job.connection.current = "h", self.connection
        job.connection.retrying = lambda work: work(self.connection)
        job.run.interrupts.check = check
        plan.spec.name = name
        handle: JobHandle = attrs.evolve(TICKET, job_id=f"r-{name}", root="/r")
        with self.lock:
            self.waiting.append(name)
        pack.arrive(job, plan, handle)

    def calls(self) -> list[tuple[str, ...]]:
        return [(call.function, *call.args) for call in self.connection.calls]


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Login:
    def batch(_spec: Any, folder: str, *, jobs: int) -> Any:
        return Mock(options=(f"--for={folder}", f"--jobs={jobs}"))

    monkeypatch.setattr(packs, "batch_job", batch)
    return Login()


def test_the_last_one_submits_for_all_in_the_order_of_their_names(login: Login) -> None:
    pack = Pack(size=3)
    with ThreadPoolExecutor(3) as pool:
        done: list[Future[None]] = [pool.submit(login.arrive, pack, name) for name in ("3", "1")]
        wait_for(lambda: len(login.waiting) == 2)
        assert not login.connection.calls
        login.arrive(pack, "2")
        for each in done:
            each.result()
    options = "--for=/r/jobs/r-1 --jobs=3"
    jobs = ("/r/jobs/r-1", "/r/jobs/r-2", "/r/jobs/r-3")
    assert login.calls() == [("mlcr_submit_together", options, *jobs)]


def test_nobody_waits_for_jobs_that_leave(login: Login) -> None:
    pack = Pack(size=3)
    pack.leave("1")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(login.arrive, pack, "2")
        wait_for(lambda: login.waiting == ["2"])
        pack.leave("1")
        pack.leave("3")
        waiting.result()
    pack.leave("2")
    assert len(login.connection.calls) == 1


def test_if_all_leave_nothing_is_submitted(login: Login) -> None:
    pack = Pack(size=2)
    pack.leave("1")
    pack.leave("2")
    assert not login.connection.calls


def test_each_job_learns_why_slurm_refused_the_batch_job(login: Login) -> None:
    login.reply = Reply(21, b"", b"sbatch: error: Invalid account\n")
    pack = Pack(size=2)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(login.arrive, pack, "1")
        with pytest.raises(HostUnfitError, match="Invalid account"):
            login.arrive(pack, "2")
        with pytest.raises(HostUnfitError, match="Invalid account"):
            other.result()


def test_a_run_that_ends_submits_nothing(login: Login) -> None:
    def check() -> None:
        raise StoppedByUserError

    with pytest.raises(StoppedByUserError):
        login.arrive(Pack(size=1), "1", check)
    assert login.calls() == [("mlcr_withdraw_together", "/r/jobs/r-1")]
