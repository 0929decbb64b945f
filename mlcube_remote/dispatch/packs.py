# SPDX-License-Identifier: Apache-2.0
"""Jobs of a sweep that share one batch job of Slurm: the last one that is launched submits it."""

from __future__ import annotations

import threading
from contextlib import suppress

import attrs

from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import (
    HostError,
    HostUnfitError,
    MLCubeRemoteError,
    StoppedByUserError,
)
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.jobs.slurm import submit_together
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.slurm import batch_job
from mlcube_remote.transport.base import Connection


@attrs.define(kw_only=True)
class Pack:
    """The jobs that share a batch job, on their way to its submission.

    Each job either arrives, once it is launched on the host, or leaves.
    """

    size: int
    """Number of jobs that may arrive."""
    _arrived: list[tuple[JobPlan, JobHandle]] = attrs.field(factory=list, init=False)
    _gone: set[str] = attrs.field(factory=set, init=False)
    """Names of the jobs that have arrived or left."""
    _is_taken: bool = attrs.field(default=False, init=False)
    """Whether a thread submits the batch job."""
    _is_over: bool = attrs.field(default=False, init=False)
    _error: MLCubeRemoteError | None = attrs.field(default=None, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False)

    def leave(self, name: str) -> None:
        """Do not wait for a job any longer; this is safe to repeat, and after its arrival."""
        with self._changed:
            self._gone.add(name)
            self._changed.notify_all()

    def arrive(self, job: JobContext, plan: JobPlan, handle: JobHandle) -> None:
        """Return when the batch job of a launched job is submitted.

        Raises:
            StoppedByUserError: The run has ended.
            StateUnknownError: Slurm gave no answer: the job may be queued.
            HostError: It could not be submitted; the job is not launched.
        """
        with self._changed:
            self._arrived.append((plan, handle))
            self._gone.add(plan.spec.name)
            self._changed.notify_all()
            while not self._is_over and (self._is_taken or len(self._gone) < self.size):
                self._changed.wait()
            is_ours, self._is_taken = not self._is_over, True
        if is_ours:
            self._submit(job)
        if self._error is not None:
            raise self._error

    def _submit(self, job: JobContext) -> None:
        ordered = sorted(self._arrived, key=lambda each: each[0].spec.name)
        (plan, first), handles = ordered[0], [handle for _, handle in ordered]
        # If this thread dies, the others must not wait for it.
        error: MLCubeRemoteError | None = HostUnfitError(
            job.host, "the batch job was not submitted"
        )

        def submit(connection: Connection) -> None:
            batch = batch_job(plan.spec, first.job_dir, jobs=len(handles))
            submit_together(connection, handles, batch)

        try:
            job.run.interrupts.check()
            job.connection.retrying(submit)
            error = None
        except StoppedByUserError as problem:
            error = problem
            with suppress(HostError):
                directories = [handle.job_dir for handle in handles]
                job.connection.current.call("mlcr_withdraw_together", *directories)
        except MLCubeRemoteError as problem:
            error = problem
        finally:
            with self._changed:
                self._is_over, self._error = True, error
                self._changed.notify_all()
