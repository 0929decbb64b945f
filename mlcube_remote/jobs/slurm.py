# SPDX-License-Identifier: Apache-2.0
"""Jobs that Slurm starts: hand them over, and say how Slurm ended them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import attrs

from mlcube_remote.errors import HostError, HostUnfitError, StateUnknownError
from mlcube_remote.events.outcome import Status, TaskOutcome
from mlcube_remote.jobs.handle import JobHandle
from mlcube_remote.plan.slurm import BatchJob
from mlcube_remote.remote import slurm_scheduler, status
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.quoting import quote_words

_ENDS: Mapping[str, tuple[Status, str]] = MappingProxyType(
    {
        "TIMEOUT": (Status.KILLED, "reached the time limit of its Slurm job"),
        "DEADLINE": (Status.KILLED, "reached the deadline of its Slurm job"),
        "OUT_OF_MEMORY": (Status.KILLED, "out of memory: it used more than its Slurm job may"),
        "PREEMPTED": (Status.KILLED, "preempted: Slurm gave its node to another job"),
        "CANCELLED": (Status.CANCELLED, "its Slurm job was cancelled"),
        "NODE_FAIL": (Status.LOST, "its compute node failed"),
        "BOOT_FAIL": (Status.LOST, "its compute node did not boot"),
        "NOT_REACHED": (Status.LOST, "its Slurm job ended before it was its turn"),
        "NOT_SUBMITTED": (Status.LOST, "it was not submitted to Slurm: its client was cut off"),
        "ABSENT": (Status.LOST, "Slurm no longer knows its job, and it left no exit code"),
    }
)
"""State of Slurm → outcome of the task that ran, or was to run next."""

_SUBMIT_TIMEOUT_S = 120.0

_BY_HOST = frozenset({"PREEMPTED"})


def schedule(
    connection: Connection,
    handle: JobHandle,
    batch: BatchJob,
    variables: Iterable[str],
    *,
    scratch: Sequence[str] = (),
    together: bool = False,
) -> None:
    """Let Slurm start the job when it is launched; it is safe to repeat.

    Args:
        connection: The login node.
        handle: The job, which is reserved.
        batch: What Slurm gets.
        variables: Names of the variables that the launch gets.
        scratch: Arguments of ``mlcr_write_scratch``; empty: the tasks get no copies.
        together: Whether it waits after its launch, for :func:`submit_together`.

    Raises:
        HostUnfitError: The host could not write the job's files.
    """
    reply = connection.call(
        "mlcr_schedule_job",
        handle.job_dir,
        slurm_scheduler(),
        "" if together else quote_words(batch.options),
        batch.setup,
        quote_words(scratch),
        *variables,
    )
    if not reply.ok:
        raise HostUnfitError(
            connection.name, f"the job's files could not be written: {reply.message}"
        )


def submit_together(connection: Connection, handles: Sequence[JobHandle], batch: BatchJob) -> None:
    """Submit one batch job for launched jobs, which run one after the other; safe to repeat.

    Args:
        connection: The login node.
        handles: The jobs, in their order.
        batch: What Slurm gets, for the first of them.

    Raises:
        StateUnknownError: Slurm gave no answer, and may have the batch job.
        HostUnfitError: Slurm refused it, or its files could not be written. No job is launched.
    """
    directories = [handle.job_dir for handle in handles]
    reply = connection.call(
        "mlcr_submit_together", quote_words(batch.options), *directories, timeout=_SUBMIT_TIMEOUT_S
    )
    if not reply.ok:
        raise submission_error(connection, handles[0], reply)


def submission_error(connection: Connection, handle: JobHandle, reply: Reply) -> HostError:
    """Return the error for a job that Slurm refused, or about which it gave no answer."""
    reason = "; ".join(
        line.removeprefix("sbatch: ").removeprefix("error: ")
        for line in reply.message.splitlines()
        if line.strip()
    )
    if reply.code == status.NO_SCHEDULER:
        return StateUnknownError(
            connection.name,
            f"Slurm gives no answer, and may have the job: {reason or 'squeue failed'}",
            hint=f"mlcube-remote attach {handle.run_id}",
        )
    if "sbatch" in reason and "not found" in reason:
        return HostUnfitError(
            connection.name,
            "sbatch was not found: is this the login node of a Slurm cluster?",
            hint="omit launcher: slurm; or put the directory of sbatch on the PATH of "
            "non-interactive shells",
        )
    return HostUnfitError(
        connection.name,
        f"Slurm refused the job: {reason}",
        hint="your partitions, accounts and limits: mlcube-remote hosts check "
        f"{connection.name}; change it with slurm: in the inventory, or --slurm KEY=VALUE",
    )


def ended_by_slurm(word: str, *, exit_code: int | None = None) -> TaskOutcome:
    """Return the outcome of a task that Slurm ended.

    Args:
        word: Slurm's state of the job, such as ``TIMEOUT`` or ``CANCELLED by 1000``.
        exit_code: The task's exit code, if it left one.
    """
    state, _, detail = word.partition(" ")
    known, reason = _ENDS.get(
        state, (Status.LOST, f"its supervisor is gone and left no exit code (Slurm: {state})")
    )
    if state == "CANCELLED" and detail.startswith("by "):
        reason += f" {detail}"
    return attrs.evolve(
        TaskOutcome(task="", status=known, exit_code=exit_code, reason=reason),
        timed_out=state in {"TIMEOUT", "DEADLINE"},
        by_host=state in _BY_HOST,
    )


def never_started(handle: JobHandle, word: str, log_end: str) -> TaskOutcome:
    """Return the outcome of a job that Slurm started, and that did not get to its first task.

    Args:
        handle: The job.
        word: Slurm's state of the job.
        log_end: The last lines of the job's log; empty if there is none.
    """
    ended = ended_by_slurm(word)
    if word.partition(" ")[0] in _ENDS:
        return ended
    last = log_end.strip().splitlines()
    why = (
        f"its log ends with: {last[-1]}"
        if last
        else f"is {handle.root} on a file system that the compute nodes share?"
    )
    return attrs.evolve(
        ended, reason=f"it did not start on its compute node (Slurm: {word}): {why}"
    )
