# SPDX-License-Identifier: Apache-2.0
"""When enough jobs have failed the others are cancelled, and nothing runs twice afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mlcube_remote.dispatch.again import choose
from mlcube_remote.dispatch.ending import conclude
from mlcube_remote.dispatch.events import Event, Note
from mlcube_remote.dispatch.exitcode import exit_code
from mlcube_remote.dispatch.fanout import run_all
from mlcube_remote.dispatch.journal import Journal
from mlcube_remote.dispatch.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.dispatch.policy import Patience
from mlcube_remote.dispatch.run import Run
from mlcube_remote.dispatch.watch import Reached
from mlcube_remote.errors import CancelledError, UnreachableError
from mlcube_remote.ui.nextsteps import next_steps

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
Act = Callable[[Run, Reached], None]


def fails(_: Run, reached: Reached) -> None:
    reached.tasks.append(TaskOutcome(task="t", status=Status.FAILED, exit_code=3))


def succeeds(_: Run, reached: Reached) -> None:
    reached.tasks.append(TaskOutcome(task="t", status=Status.SUCCEEDED, exit_code=0))


def is_off(_: Run, reached: Reached) -> None:
    raise UnreachableError("h", "no route")


def runs_until_stopped(run: Run, reached: Reached) -> None:
    reached.launched = True
    stopped = threading.Event()
    with run.reachable(str(id(reached)), stop=stopped.set, leave=stopped.set):
        assert stopped.wait(10)
    reached.tasks.append(TaskOutcome(task="t", status=Status.CANCELLED, exit_code=143))


def done(
    *acts: Act, most: int | None, parallel: int = 8, notes: list[str] | None = None
) -> tuple[JobOutcome, ...]:
    told: list[Event] = []
    sinks: list[Callable[[Event], None]] = [told.append]

    def tell(event: Event) -> None:
        for sink in sinks:
            sink(event)

    def nowhere(*_: Any) -> Any:
        raise AssertionError

    run = Run(connect=nowhere, sink=tell)
    if most is not None:
        sinks.append(Patience(run=run, most=most, jobs=len(acts)).handle)

    def job(number: int, act: Act) -> JobOutcome:
        def work(reached: Reached) -> None:
            run.check()
            act(run, reached)

        journal = Journal(host=f"h{number}", began=run.began, sink=run.sink)
        return conclude(
            work, job=(RUN_ID, ""), platform="docker", tasks=["t"], run=run, journal=journal
        )

    work = [partial(job, number, act) for number, act in enumerate(acts)]
    outcomes = run_all(work, run, parallel=parallel)
    if notes is not None:
        notes += [f"{event.label}: {event.text}" for event in told if isinstance(event, Note)]
    return outcomes


def test_all_jobs_come_to_their_end_unless_somebody_wants_otherwise() -> None:
    found = done(fails, is_off, succeeds, fails, most=None, parallel=1)
    assert [each.status.value for each in found] == [
        "failed",
        "not-started",
        "succeeded",
        "failed",
    ]


def test_with_fail_fast_running_jobs_are_stopped_and_others_not_begun() -> None:
    found = done(runs_until_stopped, fails, succeeds, succeeds, most=1, parallel=2)
    assert [each.status.value for each in found] == [
        "cancelled",
        "failed",
        "cancelled",
        "cancelled",
    ]
    for each in (found[0], *found[2:]):
        assert isinstance(each.error, CancelledError)
        assert str(each.error) == "cancelled: h1 had failed"
    assert exit_code(found) == 1, "not that of an interrupt"


def test_so_many_failures_are_borne() -> None:
    found = done(fails, succeeds, is_off, succeeds, most=2, parallel=1)
    assert [each.status.value for each in found] == [
        "failed",
        "succeeded",
        "not-started",
        "cancelled",
    ]
    assert str(found[3].error) == "cancelled: 2 jobs had failed"
    assert exit_code(found) == 120


def test_that_the_others_are_cancelled_is_said_where_there_are_others() -> None:
    notes: list[str] = []
    done(fails, succeeds, is_off, succeeds, most=2, parallel=1, notes=notes)
    assert notes == ["h2: 2 jobs have failed: all others are cancelled"]
    for acts in ([fails], [succeeds, fails]):
        notes.clear()
        done(*acts, most=1, parallel=1, notes=notes)
        assert notes == []


def test_a_job_that_ends_well_although_it_was_to_be_cancelled_has_succeeded() -> None:
    def finishes(run: Run, reached: Reached) -> None:
        with run.reachable("x", stop=lambda: None, leave=lambda: None):
            assert run.stopping.wait(10)
        succeeds(run, reached)

    found = done(finishes, fails, most=1)
    assert found[0].succeeded


def test_what_an_interrupt_cancels_is_told_from_what_failures_do() -> None:
    def interrupts(run: Run, _: Reached) -> None:
        run.stop()

    found = done(interrupts, succeeds, most=1, parallel=1)
    assert exit_code(found) == 130


def listed(status: str, host: str = "a", **changes: Any) -> dict[str, Any]:
    return {"host": host, "job": None, "attempt": 1, "status": status, **changes}


@pytest.mark.parametrize("status", ["failed", "killed", "cancelled", "lost", "not-started"])
def test_what_is_over_and_did_not_succeed_may_run_again(status: str) -> None:
    again = choose([listed(status)], failed=True)
    assert (dict(again.attempts), again.may_go_on) == ({"a": 2}, ())


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("status", ["unknown", "running", "planned", "a word of a later version"])
def test_what_may_be_at_work_is_never_begun_again(status: str, failed: bool) -> None:
    again = choose([listed(status)], failed=failed)
    assert (dict(again.attempts), again.may_go_on) == ({}, ("a",))


@pytest.mark.parametrize("status", ["unknown", "running", "planned"])
def test_what_was_at_work_on_a_host_that_is_gone_is_begun_again(status: str) -> None:
    jobs = [listed(status, job="1"), listed(status, "b", job="2"), listed("succeeded", job="3")]
    again = choose(jobs, failed=True, gone={"a"})
    assert (dict(again.attempts), again.may_go_on) == ({"1": 2}, ("2",))
    assert dict(choose(jobs, failed=True, hosts={"b"}, gone={"a"}).attempts) == {}


def test_what_nobody_has_placed_is_told_from_what_may_be_at_work() -> None:
    nowhere = {**listed("unknown", job="07"), "host": None}
    again = choose([nowhere, listed("unknown")], failed=True)
    assert (dict(again.attempts), again.may_go_on, again.unplaced) == ({}, ("a",), ("07",))


def test_what_succeeded_runs_again_only_when_everything_is_to() -> None:
    jobs = [listed("succeeded"), listed("failed", "b", attempt=3), listed("failed", "c", job="07")]
    assert dict(choose(jobs, failed=True).attempts) == {"b": 4, "07": 2}
    assert dict(choose(jobs, failed=False).attempts) == {"a": 2, "b": 4, "07": 2}
    assert dict(choose(jobs, failed=True, hosts={"b"}).attempts) == {"b": 4}


def outcome(host: str, status: Status, error: Any = None) -> JobOutcome:
    tasks = (TaskOutcome(task="t", status=status),) if error is None else ()
    return JobOutcome(
        host=host, platform="docker", status=status, tasks=tasks, error=error, seconds={}
    )


def test_the_end_says_who_failed_on_which_account_and_how_to_go_on() -> None:
    found = [
        outcome("ok", Status.SUCCEEDED),
        outcome("a", Status.FAILED),
        outcome("b", Status.KILLED),
        outcome("c", Status.NOT_STARTED, UnreachableError("c", "no route")),
        outcome("d", Status.CANCELLED, CancelledError("cancelled")),
        outcome("e", Status.UNKNOWN),
    ]
    assert next_steps(RUN_ID, found, can_rerun=True).splitlines() == [
        "2 tasks failed: a, b",
        "1 host failed: c",
        "1 job cancelled: d",
        f"  run them again:  mlcube-remote rerun {RUN_ID} --failed",
        f"run {RUN_ID} may still run on e",
        f"  follow it:  mlcube-remote attach {RUN_ID}",
        f"  stop it:    mlcube-remote stop {RUN_ID}",
        f"  if that is gone for good:  mlcube-remote rerun {RUN_ID} --failed --gone=e",
    ]
    runs = [outcome("a", Status.RUNNING), outcome("h1", Status.UNKNOWN)]
    assert "--gone" not in next_steps(RUN_ID, runs[:1], can_rerun=True)
    assert "--gone" not in next_steps(RUN_ID, runs, can_rerun=False)
    silent = [*runs, outcome("h2", Status.UNKNOWN), outcome("h1", Status.UNKNOWN)]
    assert next_steps(RUN_ID, silent, can_rerun=True).endswith(" --gone='h[1-2]'")


def test_where_all_is_well_nothing_is_left_to_do() -> None:
    assert next_steps(RUN_ID, [outcome("a", Status.SUCCEEDED)] * 3, can_rerun=True) == ""
    assert next_steps(RUN_ID, [outcome("a", Status.FAILED)], can_rerun=True) == ""


def test_a_hundred_names_are_counted() -> None:
    found = [outcome(f"h{number:03}", Status.FAILED) for number in range(100)]
    (line,) = next_steps(RUN_ID, found, can_rerun=False).splitlines()
    assert line == "100 tasks failed: h[000-099]"
    found = [outcome(name * 3, Status.FAILED) for name in "abcdefghijkl"]
    (line,) = next_steps(RUN_ID, found, can_rerun=False).splitlines()
    assert line.endswith("ggg, hhh … (12 in all)")
