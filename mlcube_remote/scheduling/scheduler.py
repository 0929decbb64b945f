# SPDX-License-Identifier: Apache-2.0
"""Which job of a pool goes where next: values in, decisions out, nothing done.

What holds, whatever happens: a job is waiting, placed, or over, and only one of these; a host has
at most as many jobs as slots; the job that has waited longest goes first; a job that may still be
at work somewhere is over, and keeps its slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

import attrs

FIRST_REST, LONGEST_REST = 10.0, 60.0
"""Seconds for which a host that stumbled, or is busy, is left alone: at first and at the most."""


class RetryOn(Enum):
    """Why a job is begun again."""

    HOST = "host"
    """Its host was lost or could not be used."""
    TASK = "task"
    """Its task failed."""


class AttemptResult(Enum):
    """How a job's stay on a host ended."""

    DONE = "done"
    """It is over, well or because somebody wanted it to be."""
    TASK_FAILED = "task failed"
    HOST_STUMBLED = "host stumbled"
    """It never began, for a reason that may pass: not reachable."""
    HOST_BUSY = "host busy"
    """It never began: what it needs there others have, who will be done with it."""
    HOST_UNFIT = "host unfit"
    """It never began, and others would not either: login refused, no engine."""
    HOST_BROKE = "host broke"
    """It was launched, and the host could not begin it: no container could be started."""
    HOST_LOST = "host lost"
    """It had begun, and cannot be at work any more: the host was started anew."""
    HELD = "held"
    """It goes on, or may: nobody may begin it again."""


_LAUNCHED = frozenset(
    {AttemptResult.TASK_FAILED, AttemptResult.HOST_BROKE, AttemptResult.HOST_LOST}
)
"""What leaves a job behind on its host: the next one must not have its name."""


@attrs.frozen(kw_only=True)
class PendingJob:
    """A job that is to be placed."""

    job: str
    order: int
    """Its place in the queue, which it keeps for good."""
    attempt: int = 1
    """How often it will have begun: the number belongs to what it leaves on hosts."""
    failures: int = 0
    avoids: frozenset[str] = frozenset()
    """Hosts that failed it: it goes there again only when there is no other."""
    only: str | None = None
    """The one host where it may be, from an earlier client of the run."""


@attrs.frozen(kw_only=True)
class HostSlots:
    """One host of the pool."""

    host: str
    slots: int
    taken: int = 0
    """Jobs that are placed there."""
    held: int = 0
    """Slots of jobs that are over here, but may be at work there."""
    has_worked: bool = False
    """Whether a job has come to its end there."""
    stumbles: int = 0
    """How often in a row."""
    stumbled_since: float = 0.0
    refusals: int = 0
    """How often in a row others had what a job needed there."""
    rests_until: float = 0.0
    is_out: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it may take a job, now or later."""
        return not self.is_out and self.held < self.slots

    def free(self, now: float) -> int:
        """Return how many jobs it can take; one that stumbled or was busy is tried with one."""
        if not self.is_usable or now < self.rests_until:
            return 0
        left = self.slots - self.held
        return (min(left, 1) if self.stumbles or self.refusals else left) - self.taken


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a job is begun again."""

    retries: int = 3
    """Times that a job is begun again at the most."""
    retry_on: frozenset[RetryOn] = frozenset({RetryOn.HOST})
    patience: float = 600.0
    """Seconds after which a host that worked before, and does not any more, is given up."""
    parallel: int = 32
    """Jobs at once."""
    waits: bool = False
    """Whether jobs wait when every host that is left is busy, and none of them is at work."""


@attrs.frozen(kw_only=True)
class JobStart:
    """A job is to be begun on a host."""

    job: str
    host: str
    attempt: int
    is_pinned: bool = False
    """Whether an earlier client of the run may have begun it there."""


@attrs.frozen(kw_only=True)
class ScheduleState:
    """The pool at one moment."""

    policy: RetryPolicy
    waiting: tuple[PendingJob, ...]
    """The one that has waited longest first."""
    placed: Mapping[str, tuple[PendingJob, str]]
    """Job → itself, and its host."""
    places: Mapping[str, HostSlots]
    over: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether every job is over."""
        return not self.waiting and not self.placed


def begin(
    jobs: Iterable[PendingJob], places: Iterable[HostSlots], policy: RetryPolicy
) -> ScheduleState:
    """Return the pool before anything happened."""
    return ScheduleState(
        policy=policy,
        waiting=tuple(sorted(jobs, key=lambda each: each.order)),
        placed={},
        places={place.host: place for place in places},
    )


def next_start(state: ScheduleState, now: float) -> tuple[ScheduleState, JobStart | None]:
    """Place the job that has waited longest and can be placed, if there is one."""
    if len(state.placed) >= state.policy.parallel:
        return state, None
    for job in state.waiting:
        place = _place_for(state, job, now)
        if place is None:
            continue
        after = attrs.evolve(
            state,
            waiting=tuple(each for each in state.waiting if each is not job),
            placed={**state.placed, job.job: (job, place.host)},
            places={**state.places, place.host: attrs.evolve(place, taken=place.taken + 1)},
        )
        pinned = job.only is not None
        return after, JobStart(job=job.job, host=place.host, attempt=job.attempt, is_pinned=pinned)
    return state, None


def _place_for(state: ScheduleState, job: PendingJob, now: float) -> HostSlots | None:
    candidates = [place for place in _usable(state, job) if place.free(now) > 0]
    # The emptiest host, and of these the first: no host is filled while another has nothing to do.
    return max(candidates, key=lambda place: place.free(now), default=None)


def _usable(state: ScheduleState, job: PendingJob) -> list[HostSlots]:
    """Return the hosts on which the job may be placed, now or later."""
    left = [place for place in state.places.values() if place.is_usable]
    if job.only is not None:
        return [place for place in left if place.host == job.only]
    return [place for place in left if place.host not in job.avoids] or left


def end_attempt(
    state: ScheduleState, job: str, end: AttemptResult, now: float
) -> tuple[ScheduleState, bool]:
    """Note how a placed job ended.

    Returns:
        The pool after it, and whether the job is to be begun again.
    """
    waiting, host = state.placed[job]
    place = _after(state.places[host], end, now, state.policy.patience)
    after = attrs.evolve(
        state,
        placed={name: each for name, each in state.placed.items() if name != job},
        places={**state.places, host: place},
    )
    back = attrs.evolve(
        waiting,
        attempt=waiting.attempt + (end in _LAUNCHED),
        # Who finds a host busy has not failed, and may go there later.
        failures=waiting.failures + (end is not AttemptResult.HOST_BUSY),
        avoids=waiting.avoids
        | (set() if end in {AttemptResult.TASK_FAILED, AttemptResult.HOST_BUSY} else {host}),
        only=None,
    )
    if not (_is_again(state.policy, waiting, end) and _usable(after, back)):
        return attrs.evolve(after, over=after.over | {job}), False
    queue = sorted((*after.waiting, back), key=lambda each: each.order)
    return attrs.evolve(after, waiting=tuple(queue)), True


def _after(place: HostSlots, end: AttemptResult, now: float, patience: float) -> HostSlots:
    place = attrs.evolve(place, taken=place.taken - 1)
    if end is AttemptResult.HELD:
        return attrs.evolve(place, held=place.held + 1)
    if end in {AttemptResult.DONE, AttemptResult.TASK_FAILED}:
        return attrs.evolve(place, has_worked=True, stumbles=0, refusals=0, rests_until=0.0)
    if end is AttemptResult.HOST_BUSY:
        until = now + _rest(place.refusals)
        return attrs.evolve(place, refusals=place.refusals + 1, rests_until=until)
    since = place.stumbled_since if place.stumbles else now
    return attrs.evolve(
        place,
        stumbles=place.stumbles + 1,
        stumbled_since=since,
        rests_until=now + _rest(place.stumbles),
        # One that never worked is a mistake of the inventory's rather than a passing trouble.
        is_out=place.is_out
        or end in {AttemptResult.HOST_UNFIT, AttemptResult.HOST_BROKE}
        or (end is AttemptResult.HOST_STUMBLED and not place.has_worked and not place.taken)
        or now - since > patience,
    )


def _rest(before: int) -> float:
    """Return the seconds for which a host is left alone that has been so often before."""
    return min(FIRST_REST * 2.0**before, LONGEST_REST)


def _is_again(policy: RetryPolicy, job: PendingJob, end: AttemptResult) -> bool:
    if end is AttemptResult.HOST_BUSY:
        return True
    if end in {AttemptResult.DONE, AttemptResult.HELD} or job.failures >= policy.retries:
        return False
    why = RetryOn.TASK if end is AttemptResult.TASK_FAILED else RetryOn.HOST
    return why in policy.retry_on


def unplaceable_jobs(state: ScheduleState) -> tuple[str, ...]:
    """Return the waiting jobs that no host will take, as long as anybody wants to wait."""
    if is_all_busy(state) and not state.policy.waits:
        return tuple(job.job for job in state.waiting)
    return tuple(job.job for job in state.waiting if not _usable(state, job))


def is_all_busy(state: ScheduleState) -> bool:
    """Return whether others have every host that is left, and no job of the pool is at work."""
    left = [place for place in state.places.values() if place.is_usable]
    return bool(left) and not state.placed and all(place.refusals for place in left)


def cancel_jobs(state: ScheduleState, jobs: Iterable[str]) -> ScheduleState:
    """Return the pool with waiting jobs given up."""
    gone = frozenset(jobs)
    return attrs.evolve(
        state,
        waiting=tuple(each for each in state.waiting if each.job not in gone),
        over=state.over | gone,
    )
