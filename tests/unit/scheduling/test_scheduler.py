# SPDX-License-Identifier: Apache-2.0
"""The schedule of a pool: none lost, none twice, no slot overrun, the longest-waiting first."""

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


def told(found: Iterable[JobStart]) -> list[str]:
    return [f"{start.job}@{start.host}.{start.attempt}" for start in found]


def test_the_longest_waiting_goes_to_the_emptiest_host() -> None:
    state, found = starts(pool(6, 1, 2, 1))
    assert told(found) == ["j0@h1.1", "j1@h0.1", "j2@h1.1", "j3@h2.1"]
    state, again = end_attempt(state, "j2", AttemptResult.DONE, 1.0)
    assert not again
    assert told(starts(state)[1]) == ["j4@h1.1"]


def test_no_more_jobs_run_at_once_than_were_asked_for() -> None:
    assert len(starts(pool(9, 8, 8, policy=RetryPolicy(parallel=3)))[1]) == 3


def test_a_job_moves_when_its_host_cannot_be_used_and_keeps_its_place_in_the_queue() -> None:
    state, _ = starts(pool(4, 1, 1))
    state, again = end_attempt(state, "j0", AttemptResult.HOST_UNFIT, 1.0)
    assert again
    assert state.hosts["h0"].is_excluded
    state, again = end_attempt(state, "j1", AttemptResult.DONE, 2.0)
    assert told(starts(state)[1]) == ["j0@h1.1"], "it had not begun: it keeps its name"


def test_a_job_that_had_begun_gets_another_name() -> None:
    state, _ = starts(pool(1, 1, 1))
    state, again = end_attempt(state, "j0", AttemptResult.HOST_LOST, 1.0)
    assert again
    assert told(starts(state, 1.0)[1]) == ["j0@h1.2"]


def test_a_task_that_failed_is_begun_again_only_when_asked() -> None:
    state, _ = starts(pool(1, 1))
    assert end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)[1] is False
    state, _ = starts(pool(1, 1, policy=RetryPolicy(retries=2, retry_on=BOTH)))
    for attempt in (2, 3):
        state, again = end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)
        assert again
        state, found = starts(state)
        assert told(found) == [f"j0@h0.{attempt}"], "the same host will do"
    assert end_attempt(state, "j0", AttemptResult.TASK_FAILED, 1.0)[1] is False


def test_what_may_still_be_at_work_is_never_begun_again_and_keeps_its_slot() -> None:
    state, _ = starts(pool(2, 1, policy=RetryPolicy(retry_on=BOTH)))
    state, again = end_attempt(state, "j0", AttemptResult.RUNNING_OR_UNKNOWN, 1.0)
    assert not again
    assert starts(state, 1e9)[1] == []
    assert unplaceable_jobs(state) == ("j1",), "which nobody waits for"


def test_retries_are_bounded() -> None:
    state = pool(1, 1, 1, 1, policy=RetryPolicy(retries=1))
    state, _ = starts(state)
    state, again = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 1.0)
    assert again
    state, _ = starts(state)
    state, again = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 2.0)
    assert not again
    assert state.is_over


def test_a_host_that_never_worked_is_out_when_it_stumbles() -> None:
    state, _ = starts(pool(3, 1, 1))
    state, _ = end_attempt(state, "j0", AttemptResult.CONNECT_FAILED, 1.0)
    assert state.hosts["h0"].is_excluded
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert not again, "no host is left for it"
    assert unplaceable_jobs(state) == ("j0", "j2")
    assert cancel_jobs(state, unplaceable_jobs(state)).is_over


def test_a_host_on_which_others_are_at_work_is_not_out_when_one_stumbles() -> None:
    state, _ = starts(pool(3, 2))
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 1.0)
    assert again
    assert not state.hosts["h0"].is_excluded


def test_a_host_that_others_have_is_asked_again_for_as_long_as_jobs_wait() -> None:
    state, _ = starts(pool(3, 1, 2, policy=RetryPolicy(retries=0, patience=60.0)))
    state, again = end_attempt(state, "j1", AttemptResult.HOST_BUSY, 0.0)
    assert again, "nobody has failed"
    assert not unplaceable_jobs(state)
    assert told(starts(state, 9.0)[1]) == []
    now = 0.0
    for rest in (10.0, 20.0, 40.0, 60.0, 60.0):
        now += rest
        state, found = starts(state, now)
        assert told(found) == ["j1@h0.1"], "it rests longer, and is never given up"
        state, _ = end_attempt(state, "j1", AttemptResult.HOST_BUSY, now)
    state, found = starts(state, now + 60.0)
    state, _ = end_attempt(state, "j1", AttemptResult.DONE, now + 61.0)
    assert state.hosts["h0"].busy_count == 0


@pytest.mark.parametrize("waits", [False, True])
def test_where_others_have_every_host_jobs_wait_only_when_asked_to(waits: bool) -> None:
    state, _ = starts(pool(3, 1, 1, 1, policy=RetryPolicy(waits=waits)))
    state, _ = end_attempt(state, "j2", AttemptResult.HOST_UNFIT, 0.0)
    state, _ = end_attempt(state, "j0", AttemptResult.HOST_BUSY, 0.0)
    assert not unplaceable_jobs(state), "one is at work still"
    state, _ = end_attempt(state, "j1", AttemptResult.HOST_BUSY, 0.0)
    assert unplaceable_jobs(state) == (() if waits else ("j0", "j1", "j2"))
    assert told(starts(state, 10.0)[1]) == ["j0@h0.1", "j1@h1.1"]


def test_a_host_that_worked_rests_and_is_tried_with_one_job() -> None:
    state, _ = starts(pool(9, 2))
    state, _ = end_attempt(state, "j0", AttemptResult.DONE, 1.0)
    state, again = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 2.0)
    assert again
    assert starts(state, 11.9)[1] == []
    state, found = starts(state, 12.0)
    assert told(found) == ["j1@h0.1"], "the last host left is tried again by the same job"
    state, _ = end_attempt(state, "j1", AttemptResult.CONNECT_FAILED, 13.0)
    assert starts(state, 32.9)[1] == [], "it rests longer"
    state, found = starts(state, 33.0)
    state, _ = end_attempt(state, found[0].job, AttemptResult.DONE, 34.0)
    assert len(starts(state, 34.0)[1]) == 2, "it works: all its slots count"


def test_a_host_that_does_not_work_any_more_is_given_up_in_the_end() -> None:
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


def test_a_job_of_an_earlier_client_goes_where_that_was() -> None:
    state = pool(2, 1, 1, only="h1", attempt=3)
    state, found = starts(state)
    assert told(found) == ["j0@h1.3", "j1@h0.1"]
    assert [start.is_pinned for start in found] == [True, False]
    state, again = end_attempt(state, "j0", AttemptResult.HOST_LOST, 1.0)
    assert again
    state, _ = end_attempt(state, "j1", AttemptResult.DONE, 1.0)
    assert told(starts(state, 1.0)[1]) == ["j0@h0.4"], "known to be lost, it may go anywhere"
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
def test_whatever_happens_no_job_is_lost_or_at_work_twice(
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
    begun: dict[str, int] = dict.fromkeys(every, 0)
    names: set[tuple[str, int]] = set()
    held: dict[str, int] = {}
    now = 0.0
    while not state.is_over:
        state, found = starts(state, now)
        for start in found:
            begun[start.job] += 1
        waiting = {each.job for each in state.waiting}
        placed = set(state.placed)
        assert waiting | placed | state.over == every
        assert len(waiting) + len(placed) + len(state.over) == len(every)
        assert len(placed) <= parallel
        for host, place in state.hosts.items():
            here = sum(where == host for _, where in state.placed.values())
            assert (place.taken, place.held) == (here, held.get(host, 0))
            assert here + place.held <= place.slots
        orders = [each.order for each in state.waiting]
        assert orders == sorted(orders)
        if placed:
            job = data.draw(st.sampled_from(sorted(placed)))
            end = data.draw(ENDS)
            waiting_job, host = state.placed[job]
            held[host] = held.get(host, 0) + (end is AttemptResult.RUNNING_OR_UNKNOWN)
            state, again = end_attempt(state, job, end, now)
            # Who finds a host busy waits on.
            begun[job] -= end is AttemptResult.HOST_BUSY
            if end in {AttemptResult.DONE, AttemptResult.RUNNING_OR_UNKNOWN}:
                assert not again
            if end in {
                AttemptResult.TASK_FAILED,
                AttemptResult.HOST_LOST,
                AttemptResult.START_FAILED,
            }:
                left = (job, waiting_job.attempt)
                assert left not in names, "what it left on a host is not taken for another's"
                names.add(left)
        else:
            gone = unplaceable_jobs(state)
            resting = [p for p in state.hosts.values() if p.is_usable and p.backoff_until > now]
            assert gone or resting, "nobody waits for nothing"
            state = cancel_jobs(state, gone)
        now += data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    assert all(count <= retries + 1 for count in begun.values())


@pytest.mark.parametrize("end", list(AttemptResult))
def test_every_end_leaves_the_slot_free_unless_it_may_be_at_work(end: AttemptResult) -> None:
    state, _ = starts(pool(1, 1))
    state, _ = end_attempt(state, "j0", end, 0.0)
    assert (state.hosts["h0"].taken, state.hosts["h0"].held) == (
        0,
        end is AttemptResult.RUNNING_OR_UNKNOWN,
    )
