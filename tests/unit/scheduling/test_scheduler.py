# SPDX-License-Identifier: Apache-2.0
"""The schedule of a pool: no job is lost or runs twice, and no host gets more jobs than slots."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.scheduling.scheduler import (
    AttemptResult,
    HostSlots,
    JobStart,
    PendingJob,
    RetryOn,
    RetryPolicy,
    Schedule,
)

BOTH = frozenset(RetryOn)
POLICY = RetryPolicy()


def pool(jobs: int, *slots: int, policy: RetryPolicy = POLICY, **first: object) -> Schedule:
    waiting = [PendingJob(job=f"j{number}", order=number) for number in range(jobs)]
    if first:
        waiting[0] = attrs.evolve(waiting[0], **first)  # type: ignore[arg-type] # by name
    places = [HostSlots(host=f"h{number}", slots=count) for number, count in enumerate(slots)]
    return Schedule.begin(reversed(waiting), places, policy)


def starts(schedule: Schedule, now: float = 0.0) -> list[JobStart]:
    found: list[JobStart] = []
    while several := schedule.next_starts(now):
        found += several
    return found


def labels(found: Iterable[JobStart]) -> list[str]:
    return [f"{start.job}@{start.host}.{start.attempt}" for start in found]


def test_the_first_job_goes_to_the_host_with_most_free_slots() -> None:
    schedule = pool(6, 1, 2, 1)
    found = starts(schedule)
    assert labels(found) == ["j0@h1.1", "j1@h0.1", "j2@h1.1", "j3@h2.1"]
    assert not schedule.end_attempt("j2", AttemptResult.DONE, 1.0)
    assert labels(starts(schedule)) == ["j4@h1.1"]


def test_no_more_jobs_run_at_once_than_allowed() -> None:
    assert len(starts(pool(9, 8, 8, policy=RetryPolicy(parallel=3)))) == 3


def test_a_job_of_an_unfit_host_is_retried_at_its_place_in_the_queue() -> None:
    schedule = pool(4, 1, 1)
    starts(schedule)
    assert schedule.end_attempt("j0", AttemptResult.HOST_UNFIT, 1.0)
    assert schedule.hosts["h0"].is_excluded
    schedule.end_attempt("j1", AttemptResult.DONE, 2.0)
    assert labels(starts(schedule)) == ["j0@h1.1"], "it was not launched, so it keeps its number"


def test_a_job_that_was_launched_gets_another_attempt_number() -> None:
    schedule = pool(1, 1, 1)
    starts(schedule)
    assert schedule.end_attempt("j0", AttemptResult.HOST_LOST, 1.0)
    assert labels(starts(schedule, 1.0)) == ["j0@h1.2"]


def test_a_failed_task_is_retried_only_if_requested() -> None:
    schedule = pool(1, 1)
    starts(schedule)
    assert schedule.end_attempt("j0", AttemptResult.TASK_FAILED, 1.0) is False
    schedule = pool(1, 1, policy=RetryPolicy(retries=2, retry_on=BOTH))
    starts(schedule)
    for attempt in (2, 3):
        again = schedule.end_attempt("j0", AttemptResult.TASK_FAILED, 1.0)
        assert again
        found = starts(schedule)
        assert labels(found) == [f"j0@h0.{attempt}"], "the same host may run it"
    assert schedule.end_attempt("j0", AttemptResult.TASK_FAILED, 1.0) is False


def test_a_job_that_may_still_run_is_not_retried_and_keeps_its_slot() -> None:
    schedule = pool(2, 1, policy=RetryPolicy(retry_on=BOTH))
    starts(schedule)
    assert not schedule.end_attempt("j0", AttemptResult.RUNNING_OR_UNKNOWN, 1.0)
    assert starts(schedule, 1e9) == []
    assert schedule.unplaceable_jobs() == ("j1",), "no slot will become free"


def test_retries_are_bounded() -> None:
    schedule = pool(1, 1, 1, 1, policy=RetryPolicy(retries=1))
    starts(schedule)
    assert schedule.end_attempt("j0", AttemptResult.CONNECT_FAILED, 1.0)
    starts(schedule)
    assert not schedule.end_attempt("j0", AttemptResult.CONNECT_FAILED, 2.0)
    assert schedule.is_over


def test_a_host_that_never_worked_is_excluded_after_one_failure() -> None:
    schedule = pool(3, 1, 1)
    starts(schedule)
    schedule.end_attempt("j0", AttemptResult.CONNECT_FAILED, 1.0)
    assert schedule.hosts["h0"].is_excluded
    again = schedule.end_attempt("j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert not again, "no host is left for it"
    assert schedule.unplaceable_jobs() == ("j0", "j2")
    schedule.cancel(schedule.unplaceable_jobs())
    assert schedule.is_over


def test_a_host_with_other_running_jobs_is_not_excluded_after_one_failure() -> None:
    schedule = pool(3, 2)
    starts(schedule)
    assert schedule.end_attempt("j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert not schedule.hosts["h0"].is_excluded


def test_a_busy_host_is_tried_again_while_jobs_wait() -> None:
    schedule = pool(3, 1, 2, policy=RetryPolicy(retries=0, patience=60.0))
    starts(schedule)
    again = schedule.end_attempt("j1", AttemptResult.HOST_BUSY, 0.0)
    assert again, "finding a host busy is no failure"
    assert not schedule.unplaceable_jobs()
    assert labels(starts(schedule, 9.0)) == []
    now = 0.0
    for rest in (10.0, 20.0, 40.0, 60.0, 60.0):
        now += rest
        found = starts(schedule, now)
        assert labels(found) == ["j1@h0.1"], "the backoff grows, and the host is never excluded"
        schedule.end_attempt("j1", AttemptResult.HOST_BUSY, now)
    found = starts(schedule, now + 60.0)
    schedule.end_attempt("j1", AttemptResult.DONE, now + 61.0)
    assert schedule.hosts["h0"].busy_count == 0


@pytest.mark.parametrize("waits", [False, True])
def test_if_every_host_is_busy_jobs_wait_only_if_requested(waits: bool) -> None:
    schedule = pool(3, 1, 1, 1, policy=RetryPolicy(waits=waits))
    starts(schedule)
    schedule.end_attempt("j2", AttemptResult.HOST_UNFIT, 0.0)
    schedule.end_attempt("j0", AttemptResult.HOST_BUSY, 0.0)
    assert not schedule.unplaceable_jobs(), "one job still runs"
    schedule.end_attempt("j1", AttemptResult.HOST_BUSY, 0.0)
    assert schedule.unplaceable_jobs() == (() if waits else ("j0", "j1", "j2"))
    assert labels(starts(schedule, 10.0)) == ["j0@h0.1", "j1@h1.1"]


def test_a_host_that_worked_is_tried_again_with_one_job() -> None:
    schedule = pool(9, 2)
    starts(schedule)
    schedule.end_attempt("j0", AttemptResult.DONE, 1.0)
    assert schedule.end_attempt("j1", AttemptResult.CONNECT_FAILED, 2.0)
    assert starts(schedule, 11.9) == []
    found = starts(schedule, 12.0)
    assert labels(found) == ["j1@h0.1"], "the last usable host is tried by the same job"
    schedule.end_attempt("j1", AttemptResult.CONNECT_FAILED, 13.0)
    assert starts(schedule, 32.9) == [], "the backoff grows"
    found = starts(schedule, 33.0)
    schedule.end_attempt(found[0].job, AttemptResult.DONE, 34.0)
    assert len(starts(schedule, 34.0)) == 2, "it works: all its slots count"


def test_a_host_that_keeps_failing_is_excluded_in_the_end() -> None:
    schedule = pool(9, 1, policy=RetryPolicy(patience=100.0, retries=99))
    starts(schedule)
    schedule.end_attempt("j0", AttemptResult.DONE, 0.0)
    now = 0.0
    while not schedule.hosts["h0"].is_excluded:
        found = starts(schedule, now)
        for start in found:
            schedule.end_attempt(start.job, AttemptResult.CONNECT_FAILED, now)
        now += 1
    assert 100 < now < 300
    assert len(schedule.unplaceable_jobs()) == len(schedule.waiting) > 0


def test_a_job_of_an_earlier_client_goes_to_its_host() -> None:
    schedule = pool(2, 1, 1, only="h1", attempt=3)
    found = starts(schedule)
    assert labels(found) == ["j0@h1.3", "j1@h0.1"]
    assert [start.is_pinned for start in found] == [True, False]
    assert schedule.end_attempt("j0", AttemptResult.HOST_LOST, 1.0)
    schedule.end_attempt("j1", AttemptResult.DONE, 1.0)
    assert labels(starts(schedule, 1.0)) == ["j0@h0.4"], "a lost job may go to any host"
    assert pool(1, 1, only="gone").unplaceable_jobs() == ("j0",)


ENDS = st.sampled_from(AttemptResult)


@given(
    jobs=st.integers(0, 12),
    slots=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    retries=st.integers(0, 3),
    retry_on=st.frozensets(st.sampled_from(RetryOn)),
    parallel=st.integers(1, 8),
    data=st.data(),
)
def test_no_job_is_lost_or_runs_twice(
    jobs: int,
    slots: list[int],
    retries: int,
    retry_on: frozenset[RetryOn],
    parallel: int,
    data: st.DataObject,
) -> None:
    policy = RetryPolicy(retries=retries, retry_on=retry_on, parallel=parallel, patience=50.0)
    schedule = pool(jobs, *slots, policy=policy)
    every = {f"j{number}" for number in range(jobs)}
    started: dict[str, int] = dict.fromkeys(every, 0)
    names: set[tuple[str, int]] = set()
    occupied: dict[str, int] = {}
    now = 0.0
    while not schedule.is_over:
        found = starts(schedule, now)
        for start in found:
            started[start.job] += 1
        waiting = {each.job for each in schedule.waiting}
        placed = set(schedule.placed)
        assert waiting | placed | schedule.over == every
        assert len(waiting) + len(placed) + len(schedule.over) == len(every)
        assert len(placed) <= parallel
        for host, place in schedule.hosts.items():
            here = sum(where == host for _, where in schedule.placed.values())
            assert (place.taken, place.held) == (here, occupied.get(host, 0))
            assert here + place.held <= place.slots
        orders = [each.order for each in schedule.waiting]
        assert orders == sorted(orders)
        if placed:
            job = data.draw(st.sampled_from(sorted(placed)))
            end = data.draw(ENDS)
            waiting_job, host = schedule.placed[job]
            occupied[host] = occupied.get(host, 0) + (end is AttemptResult.RUNNING_OR_UNKNOWN)
            again = schedule.end_attempt(job, end, now)
            # Finding a host busy is no attempt.
            started[job] -= end is AttemptResult.HOST_BUSY
            if end in {AttemptResult.DONE, AttemptResult.RUNNING_OR_UNKNOWN}:
                assert not again
            if end in {
                AttemptResult.TASK_FAILED,
                AttemptResult.HOST_LOST,
                AttemptResult.START_FAILED,
            }:
                left = (job, waiting_job.attempt)
                assert left not in names, "each attempt leaves a job with its own number"
                names.add(left)
        else:
            gone = schedule.unplaceable_jobs()
            backing_off = [
                p for p in schedule.hosts.values() if p.is_usable and p.backoff_until > now
            ]
            assert gone or backing_off, "no job waits in vain"
            schedule.cancel(gone)
        now += data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    assert all(count <= retries + 1 for count in started.values())


@pytest.mark.parametrize("jobs", [1_000, 10_000])
def test_the_work_for_one_job_does_not_grow_with_the_number_of_jobs(
    jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def count(host: HostSlots) -> bool:
        nonlocal asked
        asked += 1
        return not host.is_excluded

    monkeypatch.setattr(HostSlots, "is_usable", property(count))
    schedule = pool(jobs, 4, 4, policy=RetryPolicy(retry_on=BOTH), only="h0")
    results = itertools.cycle([AttemptResult.TASK_FAILED, *[AttemptResult.DONE] * 3])
    steps = 0
    while not schedule.is_over:
        for start in starts(schedule):
            schedule.end_attempt(start.job, next(results), 0.0)
            assert not schedule.unplaceable_jobs()
            steps += 1
    assert jobs < steps < 2 * jobs
    assert asked / steps < 20


def test_jobs_that_only_one_busy_host_may_get_do_not_delay_each_other() -> None:
    pinned = [PendingJob(job=f"j{n}", order=n, only="h0") for n in range(10_000)]
    last = PendingJob(job="free", order=10_000)
    schedule = Schedule.begin(
        [*pinned, last], [HostSlots(host=h, slots=1) for h in ("h0", "h1")], POLICY
    )
    assert labels(starts(schedule)) == ["j0@h0.1", "free@h1.1"]
    assert len(schedule.waiting) == 9_999


@pytest.mark.parametrize("end", list(AttemptResult))
def test_every_result_frees_the_slot_unless_the_job_may_run(end: AttemptResult) -> None:
    schedule = pool(1, 1)
    starts(schedule)
    schedule.end_attempt("j0", end, 0.0)
    assert (schedule.hosts["h0"].taken, schedule.hosts["h0"].held) == (
        0,
        end is AttemptResult.RUNNING_OR_UNKNOWN,
    )


def together(jobs: int, slots: int, together: int, policy: RetryPolicy = POLICY) -> Schedule:
    waiting = [PendingJob(job=f"j{number}", order=number) for number in range(jobs)]
    host = HostSlots(host="h", slots=slots, together=together)
    return Schedule.begin(waiting, [host], policy)


def names(found: Iterable[JobStart]) -> list[str]:
    return [start.job for start in found]


def test_jobs_that_share_a_batch_job_start_together_and_the_last_ones_are_fewer() -> None:
    schedule = together(jobs=7, slots=6, together=3)
    assert names(schedule.next_starts(0)) == ["j0", "j1", "j2"]
    assert names(schedule.next_starts(0)) == ["j3", "j4", "j5"]
    assert names(schedule.next_starts(0)) == []
    schedule.end_attempt("j0", AttemptResult.DONE, 0)
    assert names(schedule.next_starts(0)) == ["j6"], "no more are left"


def test_a_host_waits_until_it_has_slots_for_jobs_that_start_together() -> None:
    schedule = together(jobs=9, slots=4, together=3)
    assert names(schedule.next_starts(0)) == ["j0", "j1", "j2"]
    for number, job in enumerate(("j0", "j1")):
        assert names(schedule.next_starts(0)) == [], f"{4 - 3 + number} slots are free"
        schedule.end_attempt(job, AttemptResult.DONE, 0)
    assert names(schedule.next_starts(0)) == ["j3", "j4", "j5"]


@pytest.mark.parametrize("result", [AttemptResult.CONNECT_FAILED, AttemptResult.RUNNING_OR_UNKNOWN])
def test_a_host_with_less_room_than_it_had_does_not_wait_forever(result: AttemptResult) -> None:
    schedule = together(jobs=6, slots=3, together=3)
    schedule.hosts["h"] = attrs.evolve(schedule.hosts["h"], has_worked=True)
    for job in names(schedule.next_starts(0)):
        schedule.end_attempt(job, result if job == "j0" else AttemptResult.DONE, 0)
    assert names(schedule.next_starts(1e6))


def test_no_more_jobs_start_together_than_may_run_at_once() -> None:
    schedule = together(jobs=9, slots=80, together=8, policy=RetryPolicy(parallel=2))
    assert names(schedule.next_starts(0)) == ["j0", "j1"]
    assert names(schedule.next_starts(0)) == []
