# SPDX-License-Identifier: Apache-2.0
"""Decide which job of a pool starts on which host next. Nothing here waits or asks a host.

Invariants: a job is waiting, placed or over, and only one of these; a host has at most as many
jobs as slots; the job that comes first in the queue is placed first; a job that may still run
somewhere is over, and keeps its slot.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeAlias

import attrs

from mlcube_remote.dispatch.packs import Pack

FIRST_BACKOFF_S, MAX_BACKOFF_S = 10.0, 60.0
"""How long a host gets no jobs after it could not be reached, or was busy."""


class RetryOn(Enum):
    """Reason for a retry."""

    HOST = "host"
    """The host was lost or could not be used."""
    TASK = "task"
    """The task failed."""


class AttemptResult(Enum):
    """How an attempt to run a job on a host ended."""

    DONE = "done"
    """The job is over: it succeeded, was cancelled, or failed in a way that a retry cannot fix."""
    TASK_FAILED = "task failed"
    CONNECT_FAILED = "connect failed"
    """It was not launched, for a reason that may pass: the host was not reachable."""
    HOST_BUSY = "host busy"
    """It was not launched: other jobs have what it needs on the host, until they end."""
    HOST_UNFIT = "host unfit"
    """It was not launched, and no job would be: login refused, no engine."""
    START_FAILED = "start failed"
    """It was launched, and the host could not start its container."""
    HOST_LOST = "host lost"
    """It was launched, and cannot run any more: the host rebooted."""
    RUNNING_OR_UNKNOWN = "running or unknown"
    """It runs, or may run: it must not be started a second time."""


_LAUNCHED = frozenset(
    {AttemptResult.TASK_FAILED, AttemptResult.START_FAILED, AttemptResult.HOST_LOST}
)
"""Results that leave a job on the host: the next attempt needs another id."""


@attrs.frozen(kw_only=True)
class PendingJob:
    """A job that waits for a host."""

    job: str
    order: int
    """Its position in the queue, which a retry does not change."""
    attempt: int = 1
    """Number of the next attempt, which is part of its id on the host."""
    failures: int = 0
    avoids: frozenset[str] = frozenset()
    """Hosts that failed it: they get it again only if no other host is left."""
    only: str | None = None
    """The only host that may get it, because an earlier client may have launched it there."""


@attrs.frozen(kw_only=True)
class HostSlots:
    """One host of the pool."""

    host: str
    slots: int
    together: int = 1
    """Number of jobs that it gets at the same moment, if there are so many: they share a batch
    job."""
    taken: int = 0
    """Jobs that are placed on the host."""
    held: int = 0
    """Slots of jobs that are over for this client, but may run on the host."""
    has_worked: bool = False
    """Whether a job has ended on the host."""
    connect_failures: int = 0
    """Failed attempts in a row."""
    failing_since: float = 0.0
    """Time of the first of these attempts."""
    busy_count: int = 0
    """Attempts in a row for which the host was busy."""
    backoff_until: float = 0.0
    is_excluded: bool = False
    """Whether the host gets no more jobs of this run."""

    @property
    def is_usable(self) -> bool:
        """Whether it may get a job, now or later."""
        return not self.is_excluded and self.held < self.slots

    def free(self, now: float) -> int:
        """Return how many jobs it can get now; one that failed or was busy is tried with one."""
        if not self.is_usable or now < self.backoff_until:
            return 0
        return (min(self.available, 1) if self.is_tried_with_one else self.available) - self.taken

    @property
    def available(self) -> int:
        """How many jobs of this client it can have at once."""
        return self.slots - self.held

    @property
    def is_tried_with_one(self) -> bool:
        """Whether it failed or was busy, and gets one job at a time until one ends there."""
        return bool(self.connect_failures or self.busy_count)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a job is retried."""

    retries: int = 3
    """Maximum number of retries per job."""
    retry_on: frozenset[RetryOn] = frozenset({RetryOn.HOST})
    patience: float = 600.0
    """Seconds after which a host that has worked before, and fails now, is excluded."""
    parallel: int = 32
    """Maximum number of jobs at once."""
    waits: bool = False
    """Whether jobs wait if every usable host is busy, and no job of the pool runs."""


@attrs.frozen(kw_only=True)
class JobStart:
    """The decision to start a job on a host."""

    job: str
    host: str
    attempt: int
    is_pinned: bool = False
    """Whether an earlier client of the run may have launched it on this host."""
    pack: Pack | None = attrs.field(default=None, eq=False)
    """The jobs with which it shares a batch job; ``None``: it shares none."""


_Queue: TypeAlias = tuple[str | None, frozenset[str]]
"""The ``only`` and the ``avoids`` of its jobs, which therefore can go to the same hosts."""


@attrs.define(kw_only=True)
class Schedule:
    """The jobs and hosts of a pool.

    Jobs that can go to the same hosts wait in one queue, so that a decision takes about the same
    time however many jobs wait.
    """

    policy: RetryPolicy
    hosts: dict[str, HostSlots]
    placed: dict[str, tuple[PendingJob, str]] = attrs.field(factory=dict, init=False)
    """Job → itself, and its host."""
    over: set[str] = attrs.field(factory=set, init=False)
    _queues: dict[_Queue, list[tuple[int, PendingJob]]] = attrs.field(factory=dict, init=False)
    """Heaps of the waiting jobs; none is empty."""

    @classmethod
    def begin(
        cls, jobs: Iterable[PendingJob], hosts: Iterable[HostSlots], policy: RetryPolicy
    ) -> Schedule:
        """Return a schedule in which all jobs are waiting."""
        schedule = cls(policy=policy, hosts={host.host: host for host in hosts})
        for job in jobs:
            schedule._push(job)
        return schedule

    @property
    def is_over(self) -> bool:
        """Whether every job is over."""
        return not self._queues and not self.placed

    @property
    def waiting(self) -> tuple[PendingJob, ...]:
        """The waiting jobs, in the order of the queue."""
        return _in_order(self._queues.values())

    @property
    def is_all_busy(self) -> bool:
        """Whether every usable host is busy with other runs, and no job of the pool runs."""
        usable = [host for host in self.hosts.values() if host.is_usable]
        return bool(usable) and not self.placed and all(host.busy_count for host in usable)

    def next_starts(self, now: float) -> tuple[JobStart, ...]:
        """Place the first job of the queue that can be placed, with those that go along with it.

        A host that gets several jobs together waits until it has slots for them.
        """
        first = self._next_start({name: self._room(name, now) for name in self.hosts})
        if first is None:
            return ()
        starts = [first]
        while len(starts) < self.hosts[first.host].together:
            room = {first.host: self._left(first.host, now)}
            if (start := self._next_start(room)) is None:
                break
            starts.append(start)
        return tuple(starts)

    def _left(self, host: str, now: float) -> int:
        """Return how many jobs a host can get now."""
        return min(self.hosts[host].free(now), self.policy.parallel - len(self.placed))

    def _room(self, host: str, now: float) -> int:
        """Return how many jobs a host can get now, or 0 if it waits for more room."""
        left, is_tried = self._left(host, now), self.hosts[host].is_tried_with_one
        waiting = sum(map(len, self._queues.values()))
        wanted = min(self.hosts[host].together, waiting, self.policy.parallel)
        return left if left >= (1 if is_tried else min(wanted, self.hosts[host].available)) else 0

    def _next_start(self, free: Mapping[str, int]) -> JobStart | None:
        """Place the first job of the queue that can be placed on a host with free slots."""
        if not any(count > 0 for count in free.values()):
            return None
        # The first jobs of the queues, in their order.
        for (_, job), queue in sorted(
            ((heap[0], queue) for queue, heap in self._queues.items()), key=lambda each: each[0][0]
        ):
            candidates = [name for name in self._usable_hosts(*queue) if free.get(name, 0) > 0]
            if not candidates:
                continue
            # The host with most free slots, and of these the first: no host stays idle while
            # another one is filled.
            host = max(candidates, key=free.__getitem__)
            self._pop(queue)
            self.placed[job.job] = (job, host)
            self.hosts[host] = attrs.evolve(self.hosts[host], taken=self.hosts[host].taken + 1)
            pinned = job.only is not None
            return JobStart(job=job.job, host=host, attempt=job.attempt, is_pinned=pinned)
        return None

    def end_attempt(self, job: str, result: AttemptResult, now: float) -> bool:
        """Record how the attempt of a placed job ended, and return whether the job is retried."""
        pending, host = self.placed.pop(job)
        self.hosts[host] = _host_after(self.hosts[host], result, now, self.policy.patience)
        is_host_kept = result in {AttemptResult.TASK_FAILED, AttemptResult.HOST_BUSY}
        retry = attrs.evolve(
            pending,
            attempt=pending.attempt + (result in _LAUNCHED),
            # Finding a host busy is no failure, and the job may go there later.
            failures=pending.failures + (result is not AttemptResult.HOST_BUSY),
            avoids=pending.avoids if is_host_kept else pending.avoids | {host},
            only=None,
        )
        is_retried = _is_retried(self.policy, pending, result)
        if is_retried and self._usable_hosts(retry.only, retry.avoids):
            self._push(retry)
            return True
        self.over.add(job)
        return False

    def unplaceable_jobs(self) -> tuple[str, ...]:
        """Return the waiting jobs that no host will get, within the time that the user waits."""
        if self.is_all_busy and not self.policy.waits:
            queues = list(self._queues.values())
        else:
            queues = [
                heap for queue, heap in self._queues.items() if not self._usable_hosts(*queue)
            ]
        return tuple(job.job for job in _in_order(queues))

    def cancel(self, jobs: Iterable[str]) -> None:
        """Mark waiting jobs as over."""
        cancelled = frozenset(jobs)
        if not cancelled:
            return
        self.over |= cancelled
        waiting, self._queues = self.waiting, {}
        for each in waiting:
            if each.job not in cancelled:
                self._push(each)

    def _usable_hosts(self, only: str | None, avoids: frozenset[str]) -> list[str]:
        """Return the hosts that may get the jobs of a queue, now or later."""
        usable = [name for name, host in self.hosts.items() if host.is_usable]
        if only is not None:
            return [name for name in usable if name == only]
        return [name for name in usable if name not in avoids] or usable

    def _push(self, job: PendingJob) -> None:
        heap = self._queues.setdefault((job.only, job.avoids), [])
        heapq.heappush(heap, (job.order, job))

    def _pop(self, queue: _Queue) -> None:
        heapq.heappop(self._queues[queue])
        if not self._queues[queue]:
            del self._queues[queue]


def _in_order(heaps: Iterable[list[tuple[int, PendingJob]]]) -> tuple[PendingJob, ...]:
    every = (each for heap in heaps for each in heap)
    return tuple(job for _, job in sorted(every, key=lambda each: each[0]))


def _host_after(host: HostSlots, result: AttemptResult, now: float, patience: float) -> HostSlots:
    host = attrs.evolve(host, taken=host.taken - 1)
    if result is AttemptResult.RUNNING_OR_UNKNOWN:
        return attrs.evolve(host, held=host.held + 1)
    if result in {AttemptResult.DONE, AttemptResult.TASK_FAILED}:
        return attrs.evolve(
            host, has_worked=True, connect_failures=0, busy_count=0, backoff_until=0.0
        )
    if result is AttemptResult.HOST_BUSY:
        until = now + _backoff(host.busy_count)
        return attrs.evolve(host, busy_count=host.busy_count + 1, backoff_until=until)
    since = host.failing_since if host.connect_failures else now
    return attrs.evolve(
        host,
        connect_failures=host.connect_failures + 1,
        failing_since=since,
        backoff_until=now + _backoff(host.connect_failures),
        # A host that has never worked is more likely a mistake in the inventory than a passing
        # fault.
        is_excluded=host.is_excluded
        or result in {AttemptResult.HOST_UNFIT, AttemptResult.START_FAILED}
        or (result is AttemptResult.CONNECT_FAILED and not host.has_worked and not host.taken)
        or now - since > patience,
    )


def _backoff(earlier: int) -> float:
    """Return the seconds to leave a host alone that has failed this number of times before."""
    return min(FIRST_BACKOFF_S * 2.0**earlier, MAX_BACKOFF_S)


def _is_retried(policy: RetryPolicy, job: PendingJob, result: AttemptResult) -> bool:
    if result is AttemptResult.HOST_BUSY:
        return True
    is_final = result in {AttemptResult.DONE, AttemptResult.RUNNING_OR_UNKNOWN}
    if is_final or job.failures >= policy.retries:
        return False
    reason = RetryOn.TASK if result is AttemptResult.TASK_FAILED else RetryOn.HOST
    return reason in policy.retry_on
