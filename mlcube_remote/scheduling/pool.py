# SPDX-License-Identifier: Apache-2.0
"""Run the jobs of a pool in threads. The scheduler decides which job starts where."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import attrs

from mlcube_remote.dispatch.packs import Pack
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
from mlcube_remote.events.model import Level
from mlcube_remote.events.outcome import OPEN, JobOutcome, Status, TaskOutcome
from mlcube_remote.scheduling.fanout import OnInterrupt, wait_with_interrupts
from mlcube_remote.scheduling.scheduler import (
    AttemptResult,
    HostSlots,
    JobStart,
    PendingJob,
    RetryPolicy,
    Schedule,
)

_UNFIT = (AuthenticationError, HostKeyError, HostUnfitError, ConfigureError)
"""Errors that every other job would have on the same host."""

POLL_INTERVAL_S = 0.5
"""Interval for checking whether the backoff of a host has expired."""


class NoHostError(MLCubeRemoteError):
    """A job got no host: every one of the pool was excluded."""

    exit_code = 120


class NoFitHostError(NoHostError):
    """A job got no host: every one of the pool was excluded because it is not fit."""

    exit_code = 122


class AllBusyError(NoHostError):
    """A job got no host: every one that was not excluded was busy with other runs."""

    exit_code = 117


@attrs.frozen(kw_only=True)
class PoolJob:
    """One job of a pool."""

    name: str
    parameters: Mapping[str, str]
    tasks: tuple[str, ...]
    work: Callable[[JobStart, RunContext], JobOutcome]
    """Runs it on the host that it got."""
    host: str | None = None
    """The host where an earlier client of the run may have launched it."""
    attempt: int = 1
    note: Callable[[JobOutcome], None] = lambda _: None
    """Records that it got no host, and will get none from this command."""


@attrs.define(kw_only=True)
class Pool:
    """The jobs and hosts of a pool, until all jobs are over."""

    jobs: Mapping[str, PoolJob]
    run: RunContext
    schedule: Schedule
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _running: set[Future[None]] = attrs.field(factory=set, init=False)
    _outcomes: dict[str, JobOutcome] = attrs.field(factory=dict, init=False)
    """Job → outcome of its last attempt."""
    _bugs: list[BaseException] = attrs.field(factory=list, init=False)
    _excluded: dict[str, MLCubeRemoteError] = attrs.field(factory=dict, init=False)
    """Host → why it gets no more jobs."""
    _busy: dict[str, MLCubeRemoteError | None] = attrs.field(factory=dict, init=False)
    """Host → the error when it was last found busy."""

    def work(self, threads: ThreadPoolExecutor) -> tuple[JobOutcome, ...]:
        """Place jobs until all are over, and return their outcomes, in their order.

        Raises:
            Exception: A job's work raised it; all running jobs have ended.
        """
        interrupts = self.run.interrupts
        with self._changed:
            while self._running or not (self.schedule.is_over or self._bugs):
                if interrupts.is_ending:
                    waiting = [each.job for each in self.schedule.waiting]
                    self._abandon(waiting, interrupts.error())
                while not self._bugs and (starts := self.schedule.next_starts(time.monotonic())):
                    self._start(starts, threads)
                self._abandon(self.schedule.unplaceable_jobs())
                self._changed.wait(POLL_INTERVAL_S)
        if self._bugs:
            raise self._bugs[0]
        return tuple(self._outcomes[name] for name in self.jobs)

    def _start(self, starts: Sequence[JobStart], threads: ThreadPoolExecutor) -> None:
        """Start jobs that are placed on a host together."""
        is_shared = self.schedule.hosts[starts[0].host].together > 1
        pack = Pack(size=len(starts)) if is_shared else None
        for start in starts:
            future = threads.submit(self._attempt, attrs.evolve(start, pack=pack))
            self._running.add(future)
            future.add_done_callback(self._done)

    def _attempt(self, start: JobStart) -> None:
        """Run a job on the host that it got, and report whether it is retried or finished."""
        try:
            outcome = self.jobs[start.job].work(start, self.run)
        finally:
            # The others must not wait for a job that was not launched.
            if start.pack is not None:
                start.pack.leave(start.job)
        is_retried = self._record(start, outcome)
        events = self.run.job_events(outcome.host, outcome.job)
        if is_retried:
            events.retried(_why(outcome))
        else:
            events.finished(outcome)

    def _record(self, start: JobStart, outcome: JobOutcome) -> bool:
        """Record how an attempt ended, and return whether the job is retried."""
        result = attempt_result(outcome)
        with self._changed:
            is_retried = self.schedule.end_attempt(start.job, result, time.monotonic())
            self._outcomes[start.job] = outcome
            if result is AttemptResult.HOST_BUSY:
                self._busy[start.host] = outcome.error
            if self.schedule.hosts[start.host].is_excluded and start.host not in self._excluded:
                self._excluded[start.host] = outcome.error or NoHostError(start.host)
                text = f"excluded from this run: {_reason(outcome.error)}"
                self.run.job_events(start.host).note(Level.WARNING, text)
            self._changed.notify()
        return is_retried

    def _done(self, future: Future[None]) -> None:
        with self._changed:
            self._running.discard(future)
            if (problem := future.exception()) is not None:
                self._bugs.append(problem)
            self._changed.notify()

    def _abandon(self, names: Sequence[str], error: MLCubeRemoteError | None = None) -> None:
        """Finish waiting jobs, without ``error`` because no host is left for them."""
        if not names:
            return
        self.schedule.cancel(names)
        why = error or self._no_host_error()
        for name in names:
            job, earlier = self.jobs[name], self._outcomes.get(name)
            outcome = earlier or _not_placed(job, why)
            self._outcomes[name] = outcome
            if earlier is None and job.host is None:
                job.note(outcome)
            self.run.job_events(outcome.host, name).finished(outcome)

    def _no_host_error(self) -> NoHostError:
        hosts = self.schedule.hosts.values()
        reasons = [f"{host}: {_reason(error)}" for host, error in self._excluded.items()]
        held = [host.host for host in hosts if host.held and not host.is_excluded]
        reasons += [f"{host}: its jobs may still be running" for host in held]
        if self.schedule.is_all_busy:
            reasons += [
                f"{host.host}: {_reason(self._busy[host.host])}" for host in hosts if host.is_usable
            ]
            return AllBusyError(
                f"no host is free ({'; '.join(reasons)})",
                hint="add --wait, or repeat the command later with --run-id and the id of this run",
            )
        codes = {error.exit_code for error in self._excluded.values()}
        is_none_fit = not held and codes == {NoFitHostError.exit_code}
        return (NoFitHostError if is_none_fit else NoHostError)(
            f"no usable host left ({'; '.join(reasons)})",
            hint="fix a host, then repeat the command with --run-id and the id of this run",
        )


def _not_placed(job: PoolJob, error: MLCubeRemoteError) -> JobOutcome:
    # An earlier client may have launched it on a host that could not be asked.
    status = Status.NOT_STARTED if job.host is None else Status.UNKNOWN
    return JobOutcome(
        host=job.host or "",
        job=job.name,
        parameters=job.parameters,
        attempt=job.attempt,
        platform="",
        status=status,
        tasks=tuple(TaskOutcome(task=task, status=status) for task in job.tasks),
        error=error,
        seconds={},
    )


def run_pool(
    jobs: Iterable[PoolJob],
    hosts: Iterable[HostSlots],
    policy: RetryPolicy,
    run: RunContext,
    *,
    decide: Callable[[], OnInterrupt] = lambda: OnInterrupt.STOP,
) -> tuple[JobOutcome, ...]:
    """Run all jobs on the hosts of a pool, and return the outcomes in the order of the jobs.

    An interrupt is handled as by :func:`~mlcube_remote.scheduling.fanout.run_all`; jobs that have
    no host yet are not started.

    Args:
        jobs: The jobs, in the order in which they start.
        hosts: The hosts, each with its slots.
        policy: When a job is retried, and how many run at once.
        run: What the jobs share.
        decide: Returns whether an interrupt stops the jobs or detaches from them.
    """
    by_name = {job.name: job for job in jobs}
    # A job that may be running has its slot already, so it comes first.
    ordered = sorted(by_name.values(), key=lambda job: job.host is None)
    waiting = [
        PendingJob(job=job.name, order=order, only=job.host, attempt=job.attempt)
        for order, job in enumerate(ordered)
    ]
    slots = list(hosts)
    workers = max(1, min(policy.parallel, sum(host.slots for host in slots)))
    pool = Pool(jobs=by_name, run=run, schedule=Schedule.begin(waiting, slots, policy))
    # The pool has a thread of its own, so that no interrupt falls between placing and starting.
    threads = ThreadPoolExecutor(workers + 1, thread_name_prefix="mlcr-job")
    working = threads.submit(pool.work, threads)
    try:
        wait_with_interrupts([working], run, decide)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return working.result()


def attempt_result(outcome: JobOutcome) -> AttemptResult:
    """Return what the outcome of an attempt means for the job and for its host."""
    error = outcome.error
    if outcome.status in {Status.UNKNOWN, *OPEN}:
        return AttemptResult.RUNNING_OR_UNKNOWN
    if outcome.status is Status.LOST:
        return AttemptResult.HOST_LOST
    if outcome.status is Status.NOT_STARTED and isinstance(error, HostError):
        if isinstance(error, UnexpectedError):
            return AttemptResult.DONE
        if isinstance(error, BusyError):
            return AttemptResult.HOST_BUSY
        is_unfit = isinstance(error, _UNFIT)
        return AttemptResult.HOST_UNFIT if is_unfit else AttemptResult.CONNECT_FAILED
    if outcome.status in {Status.FAILED, Status.KILLED}:
        if isinstance(error, HostUnfitError):
            return AttemptResult.START_FAILED
        return AttemptResult.TASK_FAILED if error is None else AttemptResult.DONE
    return AttemptResult.DONE


def _why(outcome: JobOutcome) -> str:
    if outcome.error is not None:
        return _reason(outcome.error)
    ended = [
        f"{task.task}: {task.reason or f'exit code {task.exit_code}'}"
        for task in outcome.tasks
        if task.status not in {Status.SUCCEEDED, Status.NOT_STARTED}
    ]
    return "; ".join(ended) or outcome.status.value


def _reason(error: MLCubeRemoteError | None) -> str:
    return str(getattr(error, "reason", error) or "it was lost")
