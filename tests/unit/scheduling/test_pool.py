# SPDX-License-Identifier: Apache-2.0
"""Run the jobs of a pool: threads, interrupts and excluded hosts."""

from __future__ import annotations

import _thread
import re
import threading
import time
from collections.abc import Callable, Sequence

import attrs
import pytest

from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import (
    AuthenticationError,
    BusyError,
    HostError,
    HostUnfitError,
    MLCubeRemoteError,
    PlanError,
    StateUnknownError,
    StoppedByUserError,
    TransferError,
    UnexpectedError,
    UnreachableError,
)
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.model import Event, JobFinished, JobRetried, Note
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.scheduling import pool, scheduler
from mlcube_remote.scheduling.fanout import OnInterrupt
from mlcube_remote.scheduling.pool import (
    AllBusyError,
    NoHostError,
    PoolJob,
    attempt_result,
    run_pool,
)
from mlcube_remote.scheduling.scheduler import (
    AttemptResult,
    HostSlots,
    JobStart,
    RetryOn,
    RetryPolicy,
)
from mlcube_remote.transport.base import Connection

Work = Callable[[JobStart], tuple[Status, MLCubeRemoteError | None]]


@attrs.define
class Scenario:
    """Hosts with scripted outcomes, and what the pool does with them."""

    work: Work
    events: list[Event] = attrs.field(factory=list)
    started: list[JobStart] = attrs.field(factory=list)
    at_once: dict[str, int] = attrs.field(factory=dict)
    most: dict[str, int] = attrs.field(factory=dict)
    noted: list[str] = attrs.field(factory=list)
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        self.run = RunContext(connect=_nowhere, sink=self.events.append)

    run: RunContext = attrs.field(init=False)

    def job(self, start: JobStart, _: RunContext) -> JobOutcome:
        with self.lock:
            self.started.append(start)
            self.at_once[start.host] = self.at_once.get(start.host, 0) + 1
            self.most[start.host] = max(self.at_once[start.host], self.most.get(start.host, 0))
        status, error = self.work(start)
        with self.lock:
            self.at_once[start.host] -= 1
        return JobOutcome(
            host=start.host,
            job=start.job,
            platform="docker",
            status=status,
            tasks=(TaskOutcome(task="t", status=status, exit_code=1),),
            error=error,
            seconds={},
        )

    def do(
        self,
        count: int,
        *slots: int,
        policy: RetryPolicy | None = None,
        decide: OnInterrupt = OnInterrupt.STOP,
        host: str | None = None,
    ) -> list[str]:
        jobs = [
            PoolJob(
                name=f"j{number}",
                parameters={"x": str(number)},
                tasks=("t",),
                work=self.job,
                host=host if number == 0 else None,
                note=lambda outcome: self.noted.append(f"{outcome.job} {outcome.status.value}"),
            )
            for number in range(count)
        ]
        places = [HostSlots(host=f"h{number}", slots=slots) for number, slots in enumerate(slots)]
        policy = policy or RetryPolicy()
        self.outcomes = run_pool(jobs, places, policy, self.run, decide=lambda: decide)
        return [f"{outcome.label} {outcome.status.value}" for outcome in self.outcomes]

    @property
    def retried(self) -> list[str]:
        return [
            f"{event.job}@{event.host}: {event.reason}"
            for event in self.events
            if isinstance(event, JobRetried)
        ]

    outcomes: Sequence[JobOutcome] = ()


def _nowhere(*_: object) -> Connection:
    raise AssertionError


def well(_: JobStart) -> tuple[Status, None]:
    time.sleep(0.001)
    return Status.SUCCEEDED, None


def test_every_job_runs_once_and_within_the_slots() -> None:
    scenario = Scenario(well)
    found = scenario.do(40, 2, 1, 3)
    assert [line.split("@")[0] for line in found] == [f"j{number}" for number in range(40)]
    assert all(line.endswith("succeeded") for line in found)
    assert sorted(start.job for start in scenario.started) == sorted(f"j{n}" for n in range(40))
    assert scenario.most["h0"] <= 2
    assert scenario.most["h1"] == 1
    assert scenario.most["h2"] <= 3


def test_an_excluded_host_loses_no_job() -> None:
    seen: dict[str, int] = {}

    def work(start: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        seen[start.host] = seen.get(start.host, 0) + 1
        time.sleep(0.002)
        if start.host == "h1" and seen["h1"] > 2:
            return Status.NOT_STARTED, AuthenticationError("h1", "login refused")
        return Status.SUCCEEDED, None

    scenario = Scenario(work)
    found = scenario.do(30, 2, 2)
    assert all(line.endswith("succeeded") for line in found)
    assert scenario.retried
    assert all(line.endswith("@h1: login refused") for line in scenario.retried)
    (note,) = [event for event in scenario.events if isinstance(event, Note)]
    assert (note.host, note.text) == ("h1", "excluded from this run: login refused")


def test_jobs_without_a_usable_host_name_the_reasons() -> None:
    scenario = Scenario(
        lambda start: (Status.NOT_STARTED, UnreachableError(start.host, "no route"))
    )
    found = scenario.do(3, 1, 1)
    assert [line.split()[1] for line in found] == ["not-started"] * 3
    error = scenario.outcomes[2].error
    assert isinstance(error, NoHostError)
    assert {"h0: no route", "h1: no route"} <= set(re.split(r"[();] ?", str(error)))
    assert "--run-id" in str(error.hint)
    assert scenario.outcomes[2].parameters == {"x": "2"}
    finished = [event.job for event in scenario.events if isinstance(event, JobFinished)]
    assert finished[-1] == "j2"


@pytest.mark.parametrize(("other", "code"), [(HostUnfitError, 122), (UnreachableError, 120)])
def test_a_pool_of_unfit_hosts_has_their_exit_code(other: type[HostError], code: int) -> None:
    errors = {"h0": other("h0", "not usable"), "h1": HostUnfitError("h1", "has 1 of 2 GPUs")}
    scenario = Scenario(lambda start: (Status.NOT_STARTED, errors[start.host]))
    scenario.do(4, 1, 1)
    assert isinstance(scenario.outcomes[3].error, NoHostError)
    assert exit_code(scenario.outcomes) == code


def test_jobs_without_a_free_host_name_the_reasons() -> None:
    scenario = Scenario(
        lambda start: (Status.NOT_STARTED, BusyError(start.host, "0 of 2 GPUs are free"))
    )
    found = scenario.do(4, 1, 1)
    assert [line.split()[1] for line in found] == ["not-started"] * 4
    assert isinstance(scenario.outcomes[0].error, BusyError)
    error = scenario.outcomes[3].error
    assert isinstance(error, AllBusyError)
    assert {"h0: 0 of 2 GPUs are free", "h1: 0 of 2 GPUs are free"} <= set(
        re.split(r"[();] ?", str(error))
    )
    assert "--wait" in str(error.hint)
    assert exit_code(scenario.outcomes) == 117


def test_other_hosts_run_the_jobs_of_a_busy_host() -> None:
    def work(start: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        if start.host == "h0":
            return Status.NOT_STARTED, BusyError("h0", "held by another run")
        return well(start)

    scenario = Scenario(work)
    found = scenario.do(6, 2, 1, policy=RetryPolicy(retries=0))
    assert [line.split("@")[1] for line in found] == ["h1 succeeded"] * 6
    assert not [event for event in scenario.events if isinstance(event, Note)], (
        "it may get jobs later"
    )


def test_jobs_wait_for_a_busy_host_if_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(pool, "POLL_INTERVAL_S", 0.01)
    refused = iter(range(3))

    def work(start: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        if next(refused, None) is not None:
            return Status.NOT_STARTED, BusyError(start.host, "held by another run")
        return well(start)

    assert Scenario(work).do(3, 1, policy=RetryPolicy(waits=True)) == [
        "j0@h0 succeeded",
        "j1@h0 succeeded",
        "j2@h0 succeeded",
    ]


def test_a_job_with_unknown_state_is_not_retried() -> None:
    unknown = StateUnknownError("h0", "gone")
    policy = RetryPolicy(retry_on=frozenset(RetryOn))
    scenario = Scenario(
        lambda start: (Status.UNKNOWN, unknown) if start.job == "j0" else (Status.SUCCEEDED, None)
    )
    assert scenario.do(3, 1, 1, policy=policy)[0] == "j0@h0 unknown"
    assert [start.job for start in scenario.started].count("j0") == 1


def test_a_job_of_an_earlier_client_starts_first_and_on_its_host() -> None:
    scenario = Scenario(well)
    assert scenario.do(3, 1, 1, host="h1")[0] == "j0@h1 succeeded"
    assert (scenario.started[0].job, scenario.started[0].is_pinned) == ("j0", True)
    assert not any(start.is_pinned for start in scenario.started[1:])


def test_a_job_of_an_earlier_client_on_an_absent_host_is_unknown() -> None:
    scenario = Scenario(well)
    found = scenario.do(2, 1, host="h7")
    assert found == ["j0@h7 unknown", "j1@h0 succeeded"]
    assert [start.job for start in scenario.started] == ["j1"]


def test_a_job_waits_for_no_slot_whose_job_may_still_run() -> None:
    scenario = Scenario(lambda start: (Status.UNKNOWN, StateUnknownError(start.host, "gone")))
    assert scenario.do(2, 1) == ["j0@h0 unknown", "j1 not-started"]
    assert "h0: its jobs may still be running" in str(scenario.outcomes[1].error)


def test_a_failed_task_is_retried_if_requested() -> None:
    def work(start: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        return (Status.SUCCEEDED if start.attempt == 3 else Status.FAILED), None

    scenario = Scenario(work)
    assert scenario.do(1, 1, policy=RetryPolicy(retry_on=frozenset(RetryOn))) == ["j0@h0 succeeded"]
    assert scenario.retried == ["j0@h0: t: exit code 1"] * 2
    assert Scenario(work).do(1, 1) == ["j0@h0 failed"]


@pytest.mark.parametrize("wish", list(OnInterrupt))
def test_an_interrupt_starts_nothing_new(wish: OnInterrupt) -> None:
    def work(_: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        _thread.interrupt_main()
        interrupts = scenario.run.interrupts
        event = interrupts.stopping if wish is OnInterrupt.STOP else interrupts.detaching
        assert event.wait(10)
        return Status.CANCELLED, StoppedByUserError()

    scenario = Scenario(work)
    found = scenario.do(5, 1, decide=wish)
    assert found[0] == "j0@h0 cancelled"
    assert [line.split()[1] for line in found[1:]] == ["not-started"] * 4
    assert len(scenario.started) == 1
    assert isinstance(scenario.outcomes[4].error, StoppedByUserError)


def test_a_bug_ends_the_pool_after_all_running_jobs_have_ended() -> None:
    ended: list[str] = []

    def work(start: JobStart) -> tuple[Status, MLCubeRemoteError | None]:
        if start.job == "j0":
            time.sleep(0.05)
            raise ZeroDivisionError
        time.sleep(0.1)
        ended.append(start.job)
        return Status.SUCCEEDED, None

    scenario = Scenario(work)
    with pytest.raises(ZeroDivisionError):
        scenario.do(9, 1, 1)
    assert sorted(start.job for start in scenario.started) == ["j0", "j1"]
    assert ended == ["j1"]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (Status.SUCCEEDED, None, AttemptResult.DONE),
        (Status.CANCELLED, StoppedByUserError(), AttemptResult.DONE),
        (Status.FAILED, None, AttemptResult.TASK_FAILED),
        (Status.KILLED, None, AttemptResult.TASK_FAILED),
        (Status.FAILED, TransferError("h", "pull incomplete"), AttemptResult.DONE),
        (Status.FAILED, HostUnfitError("h", "docker could not start"), AttemptResult.START_FAILED),
        (Status.LOST, None, AttemptResult.HOST_LOST),
        (Status.UNKNOWN, StateUnknownError("h", "gone"), AttemptResult.RUNNING_OR_UNKNOWN),
        (Status.RUNNING, None, AttemptResult.RUNNING_OR_UNKNOWN),
        (Status.NOT_STARTED, UnreachableError("h", "x"), AttemptResult.CONNECT_FAILED),
        (Status.NOT_STARTED, BusyError("h", "x"), AttemptResult.HOST_BUSY),
        (Status.NOT_STARTED, TransferError("h", "x"), AttemptResult.CONNECT_FAILED),
        (Status.NOT_STARTED, HostUnfitError("h", "x"), AttemptResult.HOST_UNFIT),
        (Status.NOT_STARTED, AuthenticationError("h", "x"), AttemptResult.HOST_UNFIT),
        (Status.NOT_STARTED, UnexpectedError("h", "x"), AttemptResult.DONE),
        (Status.NOT_STARTED, PlanError("x"), AttemptResult.DONE),
    ],
)
def test_an_outcome_says_what_failed(
    status: Status, error: MLCubeRemoteError | None, expected: AttemptResult
) -> None:
    outcome = JobOutcome(host="h", platform="docker", status=status, error=error, seconds={})
    assert attempt_result(outcome) is expected


def test_a_job_that_got_no_host_is_recorded() -> None:
    """Without a record, a rerun would not know that it may start the job."""

    def stops(_: JobStart) -> tuple[Status, None]:
        scenario.run.interrupts.stop()
        return Status.CANCELLED, None

    scenario = Scenario(stops)
    assert scenario.do(3, 1) == ["j0@h0 cancelled", "j1 not-started", "j2 not-started"]
    assert scenario.noted == ["j1 not-started", "j2 not-started"]
    pinned = Scenario(well)
    pinned.run.interrupts.stop()
    pinned.do(2, 1, host="h0")
    assert pinned.noted == ["j1 not-started"], "an earlier client may have launched the other"
