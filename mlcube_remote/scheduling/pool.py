# SPDX-License-Identifier: Apache-2.0
"""Doing the jobs of a pool, with threads: the scheduler decides which job starts where."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import attrs

from mlcube_remote.dispatch.finish import RetryDecision
from mlcube_remote.dispatch.run_context import RunContext
from mlcube_remote.errors import (
    AuthenticationError,
    BusyError,
    ConfigureError,
    HostError,
    HostKeyError,
    HostUnfitError,
    MLCubeRemoteError,
    UnexpectedError,
)
from mlcube_remote.events.model import JobFinished, Level, Note
from mlcube_remote.events.outcome import JobOutcome, Status, TaskOutcome
from mlcube_remote.scheduling import scheduler
from mlcube_remote.scheduling.fanout import OnInterrupt, wait_all, wait_with_interrupts
from mlcube_remote.scheduling.scheduler import (
    AttemptResult,
    HostSlots,
    JobStart,
    PendingJob,
    RetryPolicy,
)

_LASTING = (AuthenticationError, HostKeyError, HostUnfitError, ConfigureError)
"""What no other job would fare better with on the same host."""

_LOOKS = 0.5
"""Seconds after which the pool looks at the latest whether a host has rested long enough."""


class NoHostError(MLCubeRemoteError):
    """A job found no host: every one of the pool had dropped out."""

    exit_code = 120


class AllBusyError(NoHostError):
    """A job found no host: others had every one of the pool that had not dropped out."""

    exit_code = 117


@attrs.frozen(kw_only=True)
class PoolJob:
    """One job of a pool."""

    name: str
    parameters: Mapping[str, str]
    tasks: tuple[str, ...]
    work: Callable[[JobStart, RunContext, RetryDecision], JobOutcome]
    """Does it where it was placed."""
    host: str | None = None
    """Where an earlier client of the run may have begun it."""
    attempt: int = 1
    note: Callable[[JobOutcome], None] = lambda _: None
    """Writes down that it was placed nowhere, and never will be by this command."""


@attrs.define(kw_only=True)
class Pool:
    """Jobs and the hosts that they are placed on, until all of them are over."""

    jobs: Mapping[str, PoolJob]
    run: RunContext
    state: scheduler.ScheduleState
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _under_way: set[Future[JobOutcome]] = attrs.field(factory=set, init=False)
    _outcomes: dict[str, JobOutcome] = attrs.field(factory=dict, init=False)
    """The last outcome of each job."""
    _raised: list[BaseException] = attrs.field(factory=list, init=False)
    _out: dict[str, MLCubeRemoteError] = attrs.field(factory=dict, init=False)
    """Host → why it takes no more jobs."""
    _busy: dict[str, MLCubeRemoteError | None] = attrs.field(factory=dict, init=False)
    """Host → what others had there when it was last found busy."""

    def work(self, threads: ThreadPoolExecutor) -> tuple[JobOutcome, ...]:
        """Place jobs until all are over, and return how they ended, in their order.

        Raises:
            Exception: What a job's work raised, once all that were at work have ended.
        """
        with self._changed:
            while self._under_way or not (self.state.is_over or self._raised):
                if self.run.stopping.is_set() or self.run.leaving.is_set():
                    self._give_up([each.job for each in self.state.waiting], self.run.cancelled())
                while not self._raised and (start := self._next()):
                    self._begin(start, threads)
                self._give_up(scheduler.unplaceable_jobs(self.state))
                self._changed.wait(_LOOKS)
        if self._raised:
            raise self._raised[0]
        return tuple(self._outcomes[name] for name in self.jobs)

    def _next(self) -> JobStart | None:
        self.state, start = scheduler.next_start(self.state, time.monotonic())
        return start

    def _begin(self, start: JobStart, threads: ThreadPoolExecutor) -> None:
        job = self.jobs[start.job]
        future = threads.submit(job.work, start, self.run, lambda end: self._settle(start, end))
        self._under_way.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[JobOutcome]) -> None:
        with self._changed:
            self._under_way.discard(future)
            if (problem := future.exception()) is not None:
                self._raised.append(problem)
            self._changed.notify()

    def _settle(self, start: JobStart, outcome: JobOutcome) -> str | None:
        """Note how a job's stay on a host ended, and say why it is to be begun again, if it is."""
        with self._changed:
            end = attempt_result(outcome)
            self.state, again = scheduler.end_attempt(self.state, start.job, end, time.monotonic())
            self._outcomes[start.job] = outcome
            if end is AttemptResult.HOST_BUSY:
                self._busy[start.host] = outcome.error
            if self.state.places[start.host].is_out and start.host not in self._out:
                self._drop(start.host, outcome.error)
            self._changed.notify()
        if not again:
            return None
        return _why(outcome)

    def _drop(self, host: str, error: MLCubeRemoteError | None) -> None:
        self._out[host] = error or NoHostError(host)
        self._note(host, f"gets no more jobs: {_reason(error)}")

    def _note(self, host: str, text: str) -> None:
        at = time.monotonic() - self.run.began
        self.run.sink(Note(host=host, at=at, level=Level.WARNING, text=text))

    def _give_up(self, names: Iterable[str], error: MLCubeRemoteError | None = None) -> None:
        for name in tuple(names):
            self.state = scheduler.cancel_jobs(self.state, [name])
            job = self.jobs[name]
            before = self._outcomes.get(name)
            # Where an earlier client may have begun it, nobody could ask.
            status = Status.NOT_STARTED if job.host is None else Status.UNKNOWN
            outcome = before or JobOutcome(
                host=job.host or "",
                job=name,
                parameters=job.parameters,
                attempt=job.attempt,
                platform="",
                status=status,
                tasks=tuple(TaskOutcome(task=task, status=status) for task in job.tasks),
                error=error or self._no_host(),
                seconds={},
            )
            self._outcomes[name] = outcome
            if before is None and job.host is None:
                job.note(outcome)
            at = time.monotonic() - self.run.began
            self.run.sink(JobFinished(host=outcome.host, job=name, at=at, outcome=outcome))

    def _no_host(self) -> NoHostError:
        reasons = [f"{host}: {_reason(error)}" for host, error in self._out.items()]
        reasons += [
            f"{place.host}: what is in its slots may go on"
            for place in self.state.places.values()
            if place.held and not place.is_out
        ]
        if scheduler.is_all_busy(self.state):
            reasons += [
                f"{host}: {_reason(self._busy[host])}"
                for host, place in self.state.places.items()
                if place.is_usable
            ]
            return AllBusyError(
                f"no host is free ({'; '.join(reasons)})",
                hint="wait for one (--wait), or go on later with the same command and --run-id",
            )
        return NoHostError(
            f"no host is left to work on ({'; '.join(reasons)})",
            hint="mend a host, and go on with the same command and --run-id",
        )


def run_pool(
    jobs: Iterable[PoolJob],
    places: Iterable[HostSlots],
    policy: RetryPolicy,
    run: RunContext,
    *,
    decide: Callable[[], OnInterrupt] = lambda: OnInterrupt.STOP,
) -> tuple[JobOutcome, ...]:
    """Do all jobs on the hosts of a pool, and return the outcomes in the jobs' order.

    Interrupts are obeyed as by :func:`~mlcube_remote.scheduling.fanout.run_all`; jobs that were not
    placed by then are not begun.

    Args:
        jobs: The jobs; they are begun in this order.
        places: The hosts, each with its slots.
        policy: When a job is begun again, and how many are at work at once.
        run: What the jobs share.
        decide: Asked whether an interrupt means to stop the jobs or to leave them.
    """
    by_name = {job.name: job for job in jobs}
    # What may be at work already has its slot, whoever has waited longer.
    ordered = sorted(by_name.values(), key=lambda job: job.host is None)
    waiting = [
        PendingJob(job=job.name, order=order, only=job.host, attempt=job.attempt)
        for order, job in enumerate(ordered)
    ]
    hosts = list(places)
    workers = max(1, min(policy.parallel, sum(place.slots for place in hosts)))
    pool = Pool(jobs=by_name, run=run, state=scheduler.begin(waiting, hosts, policy))
    # The pool has a thread of its own: an interrupt must not come between placing and beginning.
    threads = ThreadPoolExecutor(workers + 1, thread_name_prefix="mlcr-job")
    working = threads.submit(pool.work, threads)
    try:
        wait_with_interrupts(lambda: wait_all([working]), run, decide)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return working.result()


def attempt_result(outcome: JobOutcome) -> AttemptResult:
    """Say what the end of a job's stay on a host means for the job and for the host."""
    error = outcome.error
    if outcome.status in {Status.UNKNOWN, Status.RUNNING}:
        return AttemptResult.HELD
    if outcome.status is Status.LOST:
        return AttemptResult.HOST_LOST
    if outcome.status is Status.NOT_STARTED and isinstance(error, HostError):
        if isinstance(error, UnexpectedError):
            return AttemptResult.DONE
        if isinstance(error, BusyError):
            return AttemptResult.HOST_BUSY
        return (
            AttemptResult.HOST_UNFIT if isinstance(error, _LASTING) else AttemptResult.HOST_STUMBLED
        )
    if outcome.status in {Status.FAILED, Status.KILLED}:
        if isinstance(error, HostUnfitError):
            return AttemptResult.HOST_BROKE
        return AttemptResult.TASK_FAILED if error is None else AttemptResult.DONE
    return AttemptResult.DONE


def _why(outcome: JobOutcome) -> str:
    if outcome.error is not None:
        return _reason(outcome.error)
    reasons = [task.reason or f"exit code {task.exit_code}" for task in outcome.tasks]
    ended = [
        f"{task.task}: {reason}"
        for task, reason in zip(outcome.tasks, reasons, strict=True)
        if task.status not in {Status.SUCCEEDED, Status.NOT_STARTED}
    ]
    return "; ".join(ended) or outcome.status.value


def _reason(error: MLCubeRemoteError | None) -> str:
    return str(getattr(error, "reason", error) or "it was lost")
