# SPDX-License-Identifier: Apache-2.0
"""The schedule of a pool: no job is lost or runs twice, and no host gets more jobs than slots."""

from __future__ import annotations

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
    ScheduleState,
    begin,
    cancel_jobs,
    end_attempt,
    next_start,
    unplaceable_jobs,
)

BOTH = frozenset(RetryOn)
POLICY = RetryPolicy()


def pool(jobs: int, *slots: int, policy: RetryPolicy = POLICY, **first: object) -> ScheduleState:
    waiting = [PendingJob(job=f"j{number}", order=number) for number in range(jobs)]
    if first:
        waiting[0] = attrs.evolve(waiting[0], **first)  # type: ignore[arg-type] # by name
    places = [HostSlots(host=f"h{number}", slots=count) for number, count in enumerate(slots)]
    return begin(reversed(waiting), places, policy)


def starts(state: ScheduleState, now: float = 0.0) -> tuple[ScheduleState, list[JobStart]]:
    found: list[JobStart] = []
    while True:
        state, start = next_start(state, now)
        if start is None:
            return state, found
        found.append(start)


def labels(found: Iterable[JobStart]) -> list[str]:
    return [f"{start.job}@{start.host}.{start.attempt}" for start in found]


def test_the_first_job_goes_to_the_host_with_most_free_slots() -> None:
    state, found = starts(pool(6, 1, 2, 1))
    assert labels(found) == ["j0@h1.1", "j1@h0.1", "j2@h1.1", "j3@h2.1"]
    state, again = end_attempt(state, "j2", AttemptResult.DONE, 1.0)
    assert not again
    assert labels(starts(state)[1]) == ["j4@h1.1"]


def test_no_more_jobs_run_at_once_than_allowed() -> None:
    assert len(starts(pool(9, 8, 8, policy=RetryPolicy(parallel=3)))[1]) == 3


def test_a_job_of_an_unfit_host_is_retried_at_its_place_in_the_queue() -> None:
    state, _ = starts(pool(4, 1, 1))
    state, again = end_attempt(state, "j0", AttemptResult.HOST_UNFIT, 1.0)
    assert again
    assert state.hosts["h0"].is_excluded
    state, again = end_attempt(state, "j1", AttemptResult.DONE, 2.0)
    assert labels(starts(state)[1]) == ["j0@h1.1"], "it was not launched, so it keeps its number"


def test_a_job_that_was_launched_gets_another_attempt_number() -> None:
    state, _ = starts(pool(1, 1, 1))
    state, again = end_attempt(state, "j0", AttemptResult.HOST_LOST, 1.0)
    assert again
    assert labels(starts(state, 1.0)[1]) == ["j0@h1.2"]


def test_a_failed_task_is_retried_only_if_requested() -> None:
    state, _ = starts(pool(1, 1))
    assert end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)[1] is False
    state, _ = starts(pool(1, 1, policy=RetryPolicy(retries=2, retry_on=BOTH)))
    for attempt in (2, 3):
        state, again = end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)
        assert again
        state, found = starts(state)
        assert labels(found) == [f"j0@h0.{attempt}"], "the same host may run it"
    assert end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)[1] is False


def test_a_job_that_may_still_run_is_not_retried_and_keeps_its_slot() -> None:
    state, _ = starts(pool(2, 1, policy=RetryPolicy(retry_on=BOTH)))
    state, again = end_attempt(state, "j0", AttemptResult.RUNNING_OR_UNKNOWN, 1.0)
    assert not again
    assert starts(state, 1e9)[1] == []
    assert unplaceable_jobs(state) == ("j1",), "no slot will become free"


def test_retries_are_bounded() -> None:
    state = pool(1, 1, 1, 1, policy=RetryPolicy(retries=1))
    state, _ = starts(state)
    state, again = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 1.0)
    assert again
    state, _ = starts(state)
    state, again = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 2.0)
    assert not again
    assert state.is_over


def test_a_host_that_never_worked_is_excluded_after_one_failure() -> None:
    state, _ = starts(pool(3, 1, 1))
    state, _ = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 1.0)
    assert state.hosts["h0"].is_excluded
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert not again, "no host is left for it"
    assert unplaceable_jobs(state) == ("j0", "j2")
    assert cancel_jobs(state, unplaceable_jobs(state)).is_over


def test_a_host_with_other_running_jobs_is_not_excluded_after_one_failure() -> None:
    state, _ = starts(pool(3, 2))
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert again
    assert not state.hosts["h0"].is_excluded


def test_a_busy_host_is_tried_again_while_jobs_wait() -> None:
    state, _ = starts(pool(3, 1, 2, policy=RetryPolicy(retries=0, patience=60.0)))
    state, again = end_attempt(state, "j1", AttemptResult.HOST_BUSY, 0.0)
    assert again, "finding a host busy is no failure"
    assert not unplaceable_jobs(state)
    assert labels(starts(state, 9.0)[1]) == []
    now = 0.0
    for rest in (10.0, 20.0, 40.0, 60.0, 60.0):
        now += rest
        state, found = starts(state, now)
        assert labels(found) == ["j1@h0.1"], "the backoff grows, and the host is never excluded"
        state, _ = end_attempt(state, "j1", AttemptResult.HOST_BUSY, now)
    state, found = starts(state, now + 60.0)
    state, _ = end_attempt(state, "j1", AttemptResult.DONE, now + 61.0)
    assert state.hosts["h0"].busy_count == 0


@pytest.mark.parametrize("waits", [False, True])
def test_if_every_host_is_busy_jobs_wait_only_if_requested(waits: bool) -> None:
    state, _ = starts(pool(3, 1, 1, 1, policy=RetryPolicy(waits=waits)))
    state, _ = end_attempt(state, "j2", AttemptResult.HOST_UNFIT, 0.0)
    state, _ = end_attempt(state, "j0", AttemptResult.HOST_BUSY, 0.0)
    assert not unplaceable_jobs(state), "one job still runs"
    state, _ = end_attempt(state, "j1", AttemptResult.HOST_BUSY, 0.0)
    assert unplaceable_jobs(state) == (() if waits else ("j0", "j1", "j2"))
    assert labels(starts(state, 10.0)[1]) == ["j0@h0.1", "j1@h1.1"]


def test_a_host_that_worked_is_tried_again_with_one_job() -> None:
    state, _ = starts(pool(9, 2))
    state, _ = end_attempt(state, "j0", AttemptResult.DONE, 1.0)
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 2.0)
    assert again
    assert starts(state, 11.9)[1] == []
    state, found = starts(state, 12.0)
    assert labels(found) == ["j1@h0.1"], "the last usable host is tried by the same job"
    state, _ = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 13.0)
    assert starts(state, 32.9)[1] == [], "the backoff grows"
    state, found = starts(state, 33.0)
    state, _ = end_attempt(state, found[0].job, AttemptResult.DONE, 34.0)
    assert len(starts(state, 34.0)[1]) == 2, "it works: all its slots count"


def test_a_host_that_keeps_failing_is_excluded_in_the_end() -> None:
    state, _ = starts(pool(9, 1, policy=RetryPolicy(patience=100.0, retries=99)))
    state, _ = end_attempt(state, "j0", AttemptResult.DONE, 0.0)
    now = 0.0
    while not state.hosts["h0"].is_excluded:
        state, found = starts(state, now)
        for start in found:
            state, _ = end_attempt(state, start.job, AttemptResult.CONNECT_FAILED, now)
        now += 1
    assert 100 < now < 300
    assert len(unplaceable_jobs(state)) == len(state.waiting) > 0


def test_a_job_of_an_earlier_client_goes_to_its_host() -> None:
    state = pool(2, 1, 1, only="h1", attempt=3)
    state, found = starts(state)
    assert labels(found) == ["j0@h1.3", "j1@h0.1"]
    assert [start.is_pinned for start in found] == [True, False]
    state, again = end_attempt(state, "j0", AttemptResult.HOST_LOST, 1.0)
    assert again
    state, _ = end_attempt(state, "j1", AttemptResult.DONE, 1.0)
    assert labels(starts(state, 1.0)[1]) == ["j0@h0.4"], "a lost job may go to any host"
    assert unplaceable_jobs(pool(1, 1, only="gone")) == ("j0",)


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
    state = pool(jobs, *slots, policy=policy)
    every = {f"j{number}" for number in range(jobs)}
    started: dict[str, int] = dict.fromkeys(every, 0)
    names: set[tuple[str, int]] = set()
    occupied: dict[str, int] = {}
    now = 0.0
    while not state.is_over:
        state, found = starts(state, now)
        for start in found:
            started[start.job] += 1
        waiting = {each.job for each in state.waiting}
        placed = set(state.placed)
        assert waiting | placed | state.over == every
        assert len(waiting) + len(placed) + len(state.over) == len(every)
        assert len(placed) <= parallel
        for host, place in state.hosts.items():
            here = sum(where == host for _, where in state.placed.values())
            assert (place.taken, place.held) == (here, occupied.get(host, 0))
            assert here + place.held <= place.slots
        orders = [each.order for each in state.waiting]
        assert orders == sorted(orders)
        if placed:
            job = data.draw(st.sampled_from(sorted(placed)))
            end = data.draw(ENDS)
            waiting_job, host = state.placed[job]
            occupied[host] = occupied.get(host, 0) + (end is AttemptResult.RUNNING_OR_UNKNOWN)
            state, again = end_attempt(state, job, end, now)
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
            gone = unplaceable_jobs(state)
            backing_off = [p for p in state.hosts.values() if p.is_usable and p.backoff_until > now]
            assert gone or backing_off, "no job waits in vain"
            state = cancel_jobs(state, gone)
        now += data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    assert all(count <= retries + 1 for count in started.values())


@pytest.mark.parametrize("end", list(AttemptResult))
def test_every_result_frees_the_slot_unless_the_job_may_run(end: AttemptResult) -> None:
    state, _ = starts(pool(1, 1))
    state, _ = end_attempt(state, "j0", end, 0.0)
    assert (state.hosts["h0"].taken, state.hosts["h0"].held) == (
        0,
        end is AttemptResult.RUNNING_OR_UNKNOWN,
    )
