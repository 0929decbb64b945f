# SPDX-License-Identifier: Apache-2.0
"""After too many failures the other jobs are cancelled, and a rerun starts nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from mlcube_remote.app.rerun_selection import select_jobs
from mlcube_remote.dispatch.finish import JobIdentity, JobProgress, Phase, finishing
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import CancelledError, TransferError, UnreachableError
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.model import Event, Note
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.scheduling.failure_limit import FailureLimit
from mlcube_remote.scheduling.fanout import run_all
from mlcube_remote.ui.tables.next_steps import next_steps

RUN_ID = "261123-190233-k3j5h2g7x4q6w2ez"
Act = Callable[[RunContext, JobProgress], None]


def fails(_: RunContext, progress: JobProgress) -> None:
    progress.tasks.append(TaskOutcome(task="t", status=Status.FAILED, exit_code=3))


def succeeds(_: RunContext, progress: JobProgress) -> None:
    progress.tasks.append(TaskOutcome(task="t", status=Status.SUCCEEDED, exit_code=0))


def is_off(_: RunContext, progress: JobProgress) -> None:
    raise UnreachableError("h", "no route")


def runs_until_stopped(run: RunContext, progress: JobProgress) -> None:
    progress.phase = Phase.LAUNCHED
    stopped = threading.Event()
    with run.interrupts.handled_by(str(id(progress)), stop=stopped.set, detach=stopped.set):
        assert stopped.wait(10)
    progress.tasks.append(TaskOutcome(task="t", status=Status.CANCELLED, exit_code=143))


def done(
    *acts: Act, most: int | None, parallel: int = 8, notes: list[str] | None = None
) -> tuple[JobOutcome, ...]:
    emitted: list[Event] = []
    sinks: list[Callable[[Event], None]] = [emitted.append]

    def tell(event: Event) -> None:
        for sink in sinks:
            sink(event)

    def nowhere(*_: Any) -> Any:
        raise AssertionError

    run = RunContext(connect=nowhere, sink=tell)
    if most is not None:
        sinks.append(FailureLimit(run=run, most=most, jobs=len(acts)).handle)

    def job(number: int, act: Act) -> JobOutcome:
        identity = JobIdentity(
            run_id=RUN_ID, job_id="", host=f"h{number}", platform="docker", tasks=("t",)
        )
        with finishing(identity, run) as progress:
            run.interrupts.check()
            act(run, progress)
        return progress.outcome

    work = [partial(job, number, act) for number, act in enumerate(acts)]
    outcomes = run_all(work, run, parallel=parallel)
    if notes is not None:
        notes += [f"{event.label}: {event.text}" for event in emitted if isinstance(event, Note)]
    return outcomes


def test_without_a_limit_all_jobs_run_to_their_end() -> None:
    found = done(fails, is_off, succeeds, fails, most=None, parallel=1)
    assert [each.status.value for each in found] == [
        "failed",
        "not-started",
        "succeeded",
        "failed",
    ]


def test_fail_fast_stops_running_jobs_and_starts_no_others() -> None:
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
    assert exit_code(found) == 1, "not the exit code of an interrupt"


def test_the_run_is_cancelled_at_the_maximum_number_of_failures() -> None:
    found = done(fails, succeeds, is_off, succeeds, most=2, parallel=1)
    assert [each.status.value for each in found] == [
        "failed",
        "succeeded",
        "not-started",
        "cancelled",
    ]
    assert str(found[3].error) == "cancelled: 2 jobs had failed"
    assert exit_code(found) == 120


def test_the_cancellation_is_reported_only_if_other_jobs_remain() -> None:
    notes: list[str] = []
    done(fails, succeeds, is_off, succeeds, most=2, parallel=1, notes=notes)
    assert notes == ["h2: 2 jobs have failed: all others are cancelled"]
    for acts in ([fails], [succeeds, fails]):
        notes.clear()
        done(*acts, most=1, parallel=1, notes=notes)
        assert notes == []


def test_a_cancelled_job_that_still_succeeds_has_succeeded() -> None:
    def finishes(run: RunContext, progress: JobProgress) -> None:
        with run.interrupts.handled_by("x", stop=lambda: None, detach=lambda: None):
            assert run.interrupts.stopping.wait(10)
        succeeds(run, progress)

    found = done(finishes, fails, most=1)
    assert found[0].succeeded


def test_an_interrupt_and_a_failure_limit_give_different_errors() -> None:
    def interrupts(run: RunContext, _: JobProgress) -> None:
        run.interrupts.stop()

    found = done(interrupts, succeeds, most=1, parallel=1)
    assert exit_code(found) == 130


def listed(status: str, host: str = "a", **changes: Any) -> dict[str, Any]:
    job = {"host": host, "job": None, "attempt": 1, "status": status, "error": None}
    return {**job, "tasks": [{"task": "t", "status": status}], **changes}


@pytest.mark.parametrize("status", ["failed", "killed", "cancelled", "lost", "not-started"])
def test_an_unsuccessful_job_can_be_rerun(status: str) -> None:
    again = select_jobs([listed(status)], failed=True)
    assert (dict(again.attempts), again.possibly_running) == ({"a": 2}, ())


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("status", ["unknown", "running", "planned", "a word of a later version"])
def test_a_job_that_may_run_is_not_rerun(status: str, failed: bool) -> None:
    again = select_jobs([listed(status)], failed=failed)
    assert (dict(again.attempts), again.possibly_running) == ({}, ("a",))


@pytest.mark.parametrize("status", ["unknown", "running", "planned"])
def test_a_job_on_a_host_that_is_gone_is_rerun(status: str) -> None:
    jobs = [listed(status, job="1"), listed(status, "b", job="2"), listed("succeeded", job="3")]
    again = select_jobs(jobs, failed=True, gone={"a"})
    assert (dict(again.attempts), again.possibly_running) == ({"1": 2}, ("2",))
    assert dict(select_jobs(jobs, failed=True, hosts={"b"}, gone={"a"}).attempts) == {}


def test_an_unassigned_job_differs_from_one_that_may_run() -> None:
    nowhere = {**listed("unknown", job="07"), "host": None}
    again = select_jobs([nowhere, listed("unknown")], failed=True)
    assert (dict(again.attempts), again.possibly_running, again.unassigned) == ({}, ("a",), ("07",))


def test_a_successful_job_is_rerun_only_with_all_others() -> None:
    jobs = [listed("succeeded"), listed("failed", "b", attempt=3), listed("failed", "c", job="07")]
    assert dict(select_jobs(jobs, failed=True).attempts) == {"b": 4, "07": 2}
    assert dict(select_jobs(jobs, failed=False).attempts) == {"a": 2, "b": 4, "07": 2}
    assert dict(select_jobs(jobs, failed=True, hosts={"b"}).attempts) == {"b": 4}


UNPULLED: dict[str, Any] = {
    "tasks": [{"task": "t", "status": "succeeded"}],
    "error": {"kind": "Transfer"},
}


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_a_job_that_only_lacks_its_outputs_is_not_rerun(status: str) -> None:
    jobs = [listed(status, **UNPULLED), listed("failed", "b")]
    again = select_jobs(jobs, failed=True)
    assert (dict(again.attempts), again.unpulled) == ({"b": 2}, ("a",))
    # A user who has lost the host, or wants all jobs, gets it again.
    assert dict(select_jobs(jobs, failed=True, gone={"a"}).attempts) == {"a": 2, "b": 2}
    if status == "failed":
        assert dict(select_jobs(jobs, failed=False).attempts) == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": [{"task": "t", "status": "succeeded"}, {"task": "u", "status": "not-started"}]},
        {"tasks": []},
        {"error": None},
    ],
)
def test_a_job_that_lacks_more_than_its_outputs_is_rerun(changes: Any) -> None:
    again = select_jobs([listed("failed", **UNPULLED | changes)], failed=True)
    assert (dict(again.attempts), again.unpulled) == ({"a": 2}, ())


def outcome(host: str, status: Status, error: Any = None) -> JobOutcome:
    tasks = (TaskOutcome(task="t", status=status),) if error is None else ()
    return JobOutcome(
        host=host, platform="docker", status=status, tasks=tasks, error=error, seconds={}
    )


def test_the_summary_says_which_jobs_failed_why_and_what_to_do() -> None:
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
        f"  read its output:  mlcube-remote logs {RUN_ID}/a",
        f"  run them again:   mlcube-remote rerun {RUN_ID} --failed",
        f"run {RUN_ID} may still run on e",
        f"  follow it:  mlcube-remote attach {RUN_ID}",
        f"  stop it:    mlcube-remote stop {RUN_ID}",
        f"  if the host is gone for good:  mlcube-remote rerun {RUN_ID} --failed --gone=e",
    ]
    runs = [outcome("a", Status.RUNNING), outcome("h1", Status.UNKNOWN)]
    assert "--gone" not in next_steps(RUN_ID, runs[:1], can_rerun=True)
    assert "--gone" not in next_steps(RUN_ID, runs, can_rerun=False)
    silent = [*runs, outcome("h2", Status.UNKNOWN), outcome("h1", Status.UNKNOWN)]
    assert next_steps(RUN_ID, silent, can_rerun=True).endswith(" --gone='h[1-2]'")


def test_outputs_that_did_not_arrive_are_pulled_and_not_made_again() -> None:
    done = TaskOutcome(task="t", status=Status.SUCCEEDED)
    error = TransferError("a", "disk full")
    found = [attrs.evolve(outcome("a", Status.FAILED, error), tasks=(done,))]
    assert next_steps(RUN_ID, found, can_rerun=True).splitlines() == [
        "succeeded, but the outputs are still on the host: a",
        f"  pull them:  mlcube-remote pull {RUN_ID}",
    ]
    lost = attrs.evolve(found[0], host="b", status=Status.UNKNOWN)
    steps = next_steps(RUN_ID, [*found, lost, outcome("c", Status.FAILED)], can_rerun=True)
    assert steps.splitlines() == [
        "1 task failed: c",
        f"  read its output:  mlcube-remote logs {RUN_ID}/c",
        f"  run it again:     mlcube-remote rerun {RUN_ID} --failed",
        "succeeded, but the outputs are still on the host: a, b",
        f"  pull them:  mlcube-remote pull {RUN_ID}",
    ]


def test_a_failed_task_is_followed_by_what_to_do_next() -> None:
    task = TaskOutcome(task="t", status=Status.FAILED, exit_code=3)
    (only, second) = (attrs.evolve(outcome(name, Status.FAILED), tasks=(task,)) for name in "ab")
    assert next_steps(RUN_ID, [only], can_rerun=True).splitlines() == [
        f"  read its output:  mlcube-remote logs {RUN_ID}",
        f"  run it again:     mlcube-remote rerun {RUN_ID} --failed",
    ]
    again = next_steps(RUN_ID, [attrs.evolve(only, job="02")], can_rerun=True)
    assert f"mlcube-remote logs {RUN_ID}/02\n" in again, "one job of a sweep was run again"
    assert next_steps(RUN_ID, [only, second], can_rerun=True).splitlines()[1:] == [
        f"  read its output:  mlcube-remote logs {RUN_ID}/a",
        f"  run them again:   mlcube-remote rerun {RUN_ID} --failed",
    ]


def test_jobs_that_failed_because_of_a_host_are_not_counted_as_hosts() -> None:
    error = UnreachableError("a", "no route")
    found = [
        attrs.evolve(outcome("a", Status.NOT_STARTED, error), job="01"),
        attrs.evolve(outcome("", Status.NOT_STARTED, error), job="02"),
    ]
    line, _ = next_steps(RUN_ID, found, can_rerun=True).splitlines()
    assert line == "2 jobs failed because of a host: 01@a, 02"


def test_a_successful_run_has_no_next_steps() -> None:
    assert next_steps(RUN_ID, [outcome("a", Status.SUCCEEDED)] * 3, can_rerun=True) == ""


def test_many_names_are_counted_instead_of_listed() -> None:
    found = [outcome(f"h{number:03}", Status.FAILED) for number in range(100)]
    line, _ = next_steps(RUN_ID, found, can_rerun=False).splitlines()
    assert line == "100 tasks failed: h[000-099]"
    found = [outcome(name * 3, Status.FAILED) for name in "abcdefghijkl"]
    line, _ = next_steps(RUN_ID, found, can_rerun=False).splitlines()
    assert line.endswith("ggg, hhh … (12 in all)")


def test_outputs_that_nothing_pulled_yet_are_named() -> None:
    def ended(host: str, status: Status, code: int) -> JobOutcome:
        task = TaskOutcome(task="t", status=status, exit_code=code)
        return attrs.evolve(outcome(host, status), tasks=(task,))

    found = [
        ended("a", Status.SUCCEEDED, 0),
        ended("b", Status.SUCCEEDED, 0),
        ended("c", Status.FAILED, 1),
        outcome("d", Status.RUNNING),
        outcome("e", Status.CANCELLED),  # before it started
    ]
    on_host = {"a", "c", "d", "e"}
    steps = next_steps(RUN_ID, found, can_rerun=True, on_host=on_host).splitlines()
    assert steps[4:6] == [
        "the outputs are still on the host: a, c",
        f"  pull them:  mlcube-remote pull {RUN_ID}",
    ]
