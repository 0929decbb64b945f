# SPDX-License-Identifier: Apache-2.0
"""The schedule of a pool: none lost, none twice, no slot overrun, the longest-waiting first."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.scheduling.scheduler import (
    End,
    Place,
    Policy,
    RetryOn,
    Start,
    State,
    Waiting,
    begin,
    ended,
    next_start,
    stranded,
    without,
)

BOTH = frozenset(RetryOn)
POLICY = Policy()


def pool(jobs: int, *slots: int, policy: Policy = POLICY, **first: object) -> State:
    waiting = [Waiting(job=f"j{number}", order=number) for number in range(jobs)]
    if first:
        waiting[0] = attrs.evolve(waiting[0], **first)  # type: ignore[arg-type] # by name
    places = [Place(host=f"h{number}", slots=count) for number, count in enumerate(slots)]
    return begin(reversed(waiting), places, policy)


def starts(state: State, now: float = 0.0) -> tuple[State, list[Start]]:
    found: list[Start] = []
    while True:
        state, start = next_start(state, now)
        if start is None:
            return state, found
        found.append(start)


def told(found: Iterable[Start]) -> list[str]:
    return [f"{start.job}@{start.host}.{start.attempt}" for start in found]


def test_the_longest_waiting_goes_to_the_emptiest_host() -> None:
    state, found = starts(pool(6, 1, 2, 1))
    assert told(found) == ["j0@h1.1", "j1@h0.1", "j2@h1.1", "j3@h2.1"]
    state, again = ended(state, "j2", End.DONE, 1.0)
    assert not again
    assert told(starts(state)[1]) == ["j4@h1.1"]


def test_no_more_jobs_run_at_once_than_were_asked_for() -> None:
    assert len(starts(pool(9, 8, 8, policy=Policy(parallel=3)))[1]) == 3


def test_a_job_moves_when_its_host_cannot_be_used_and_keeps_its_place_in_the_queue() -> None:
    state, _ = starts(pool(4, 1, 1))
    state, again = ended(state, "j0", End.HOST_UNFIT, 1.0)
    assert again
    assert state.places["h0"].is_out
    state, again = ended(state, "j1", End.DONE, 2.0)
    assert told(starts(state)[1]) == ["j0@h1.1"], "it had not begun: it keeps its name"


def test_a_job_that_had_begun_gets_another_name() -> None:
    state, _ = starts(pool(1, 1, 1))
    state, again = ended(state, "j0", End.HOST_LOST, 1.0)
    assert again
    assert told(starts(state, 1.0)[1]) == ["j0@h1.2"]


def test_a_task_that_failed_is_begun_again_only_when_asked() -> None:
    state, _ = starts(pool(1, 1))
    assert ended(state, "j0", End.TASK_FAILED, 1.0)[1] is False
    state, _ = starts(pool(1, 1, policy=Policy(retries=2, retry_on=BOTH)))
    for attempt in (2, 3):
        state, again = ended(state, "j0", End.TASK_FAILED, 1.0)
        assert again
        state, found = starts(state)
        assert told(found) == [f"j0@h0.{attempt}"], "the same host will do"
    assert ended(state, "j0", End.TASK_FAILED, 1.0)[1] is False


def test_what_may_still_be_at_work_is_never_begun_again_and_keeps_its_slot() -> None:
    state, _ = starts(pool(2, 1, policy=Policy(retry_on=BOTH)))
    state, again = ended(state, "j0", End.HELD, 1.0)
    assert not again
    assert starts(state, 1e9)[1] == []
    assert stranded(state) == ("j1",), "which nobody waits for"


def test_retries_are_bounded() -> None:
    state = pool(1, 1, 1, 1, policy=Policy(retries=1))
    state, _ = starts(state)
    state, again = ended(state, "j0", End.HOST_STUMBLED, 1.0)
    assert again
    state, _ = starts(state)
    state, again = ended(state, "j0", End.HOST_STUMBLED, 2.0)
    assert not again
    assert state.is_over


def test_a_host_that_never_worked_is_out_when_it_stumbles() -> None:
    state, _ = starts(pool(3, 1, 1))
    state, _ = ended(state, "j0", End.HOST_STUMBLED, 1.0)
    assert state.places["h0"].is_out
    state, again = ended(state, "j1", End.HOST_STUMBLED, 1.0)
    assert not again, "no host is left for it"
    assert stranded(state) == ("j0", "j2")
    assert without(state, stranded(state)).is_over


def test_a_host_on_which_others_are_at_work_is_not_out_when_one_stumbles() -> None:
    state, _ = starts(pool(3, 2))
    state, again = ended(state, "j1", End.HOST_STUMBLED, 1.0)
    assert again
    assert not state.places["h0"].is_out


def test_a_host_that_others_have_is_asked_again_for_as_long_as_jobs_wait() -> None:
    state, _ = starts(pool(3, 1, 2, policy=Policy(retries=0, patience=60.0)))
    state, again = ended(state, "j1", End.HOST_BUSY, 0.0)
    assert again, "nobody has failed"
    assert not stranded(state)
    assert told(starts(state, 9.0)[1]) == []
    now = 0.0
    for rest in (10.0, 20.0, 40.0, 60.0, 60.0):
        now += rest
        state, found = starts(state, now)
        assert told(found) == ["j1@h0.1"], "it rests longer, and is never given up"
        state, _ = ended(state, "j1", End.HOST_BUSY, now)
    state, found = starts(state, now + 60.0)
    state, _ = ended(state, "j1", End.DONE, now + 61.0)
    assert state.places["h0"].refusals == 0


@pytest.mark.parametrize("waits", [False, True])
def test_where_others_have_every_host_jobs_wait_only_when_asked_to(waits: bool) -> None:
    state, _ = starts(pool(3, 1, 1, 1, policy=Policy(waits=waits)))
    state, _ = ended(state, "j2", End.HOST_UNFIT, 0.0)
    state, _ = ended(state, "j0", End.HOST_BUSY, 0.0)
    assert not stranded(state), "one is at work still"
    state, _ = ended(state, "j1", End.HOST_BUSY, 0.0)
    assert stranded(state) == (() if waits else ("j0", "j1", "j2"))
    assert told(starts(state, 10.0)[1]) == ["j0@h0.1", "j1@h1.1"]


def test_a_host_that_worked_rests_and_is_tried_with_one_job() -> None:
    state, _ = starts(pool(9, 2))
    state, _ = ended(state, "j0", End.DONE, 1.0)
    state, again = ended(state, "j1", End.HOST_STUMBLED, 2.0)
    assert again
    assert starts(state, 11.9)[1] == []
    state, found = starts(state, 12.0)
    assert told(found) == ["j1@h0.1"], "the last host left is tried again by the same job"
    state, _ = ended(state, "j1", End.HOST_STUMBLED, 13.0)
    assert starts(state, 32.9)[1] == [], "it rests longer"
    state, found = starts(state, 33.0)
    state, _ = ended(state, found[0].job, End.DONE, 34.0)
    assert len(starts(state, 34.0)[1]) == 2, "it works: all its slots count"


def test_a_host_that_does_not_work_any_more_is_given_up_in_the_end() -> None:
    state, _ = starts(pool(9, 1, policy=Policy(patience=100.0, retries=99)))
    state, _ = ended(state, "j0", End.DONE, 0.0)
    now = 0.0
    while not state.places["h0"].is_out:
        state, found = starts(state, now)
        for start in found:
            state, _ = ended(state, start.job, End.HOST_STUMBLED, now)
        now += 1
    assert 100 < now < 300
    assert len(stranded(state)) == len(state.waiting) > 0


def test_a_job_of_an_earlier_client_goes_where_that_was() -> None:
    state = pool(2, 1, 1, only="h1", attempt=3)
    state, found = starts(state)
    assert told(found) == ["j0@h1.3", "j1@h0.1"]
    assert [start.is_pinned for start in found] == [True, False]
    state, again = ended(state, "j0", End.HOST_LOST, 1.0)
    assert again
    state, _ = ended(state, "j1", End.DONE, 1.0)
    assert told(starts(state, 1.0)[1]) == ["j0@h0.4"], "known to be lost, it may go anywhere"
    assert stranded(pool(1, 1, only="gone")) == ("j0",)


ENDS = st.sampled_from(End)


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
    policy = Policy(retries=retries, retry_on=retry_on, parallel=parallel, patience=50.0)
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
        for host, place in state.places.items():
            here = sum(where == host for _, where in state.placed.values())
            assert (place.taken, place.held) == (here, held.get(host, 0))
            assert here + place.held <= place.slots
        orders = [each.order for each in state.waiting]
        assert orders == sorted(orders)
        if placed:
            job = data.draw(st.sampled_from(sorted(placed)))
            end = data.draw(ENDS)
            waiting_job, host = state.placed[job]
            held[host] = held.get(host, 0) + (end is End.HELD)
            state, again = ended(state, job, end, now)
            # Who finds a host busy waits on.
            begun[job] -= end is End.HOST_BUSY
            if end in {End.DONE, End.HELD}:
                assert not again
            if end in {End.TASK_FAILED, End.HOST_LOST, End.HOST_BROKE}:
                left = (job, waiting_job.attempt)
                assert left not in names, "what it left on a host is not taken for another's"
                names.add(left)
        else:
            gone = stranded(state)
            resting = [p for p in state.places.values() if p.is_usable and p.rests_until > now]
            assert gone or resting, "nobody waits for nothing"
            state = without(state, gone)
        now += data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    assert all(count <= retries + 1 for count in begun.values())


@pytest.mark.parametrize("end", list(End))
def test_every_end_leaves_the_slot_free_unless_it_may_be_at_work(end: End) -> None:
    state, _ = starts(pool(1, 1))
    state, _ = ended(state, "j0", end, 0.0)
    assert (state.places["h0"].taken, state.places["h0"].held) == (0, end is End.HELD)
