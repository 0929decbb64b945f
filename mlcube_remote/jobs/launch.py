# SPDX-License-Identifier: Apache-2.0
"""Claim a job on its host, and start it exactly once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from mlcube_remote.budgets import parse_json
from mlcube_remote.errors import BusyError, HostError, HostUnfitError, UnsafeContentError
from mlcube_remote.jobs.handle import JobHandle, to_document
from mlcube_remote.jobs.output_states import output_words
from mlcube_remote.jobs.slurm import submission_error
from mlcube_remote.plan.confined import Confined
from mlcube_remote.remote import status, supervisor
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.quoting import quote_words

LOG_LIMIT = 8 * 1024**3
"""Maximum size in bytes of each of a task's two log files on its host."""

_LAUNCH_TIMEOUT_S, _COPY_TIMEOUT_S = 60.0, 3600.0
"""A launch that first copies a task's data may take long."""
_POLL_INTERVAL_S = 2.0
"""Interval between two checks of a workspace that another run holds."""


@attrs.frozen(kw_only=True)
class TaskStart:
    """One task to start, as the supervisor receives it."""

    task: str
    argv: tuple[str, ...]
    engine: tuple[str, ...]
    container: str
    """Name of its container; empty if the engine has no named containers."""
    own: tuple[str, ...] = ()
    """Arguments of the call that changes the owner of outputs after the task; empty: no call."""
    begin: tuple[str, ...] = ()
    """Arguments of ``mlcr_write_begin``: what to check and to choose when the task begins."""
    mounts: tuple[Confined, ...] = ()
    """Directories that it mounts; the host resolves them directly before the task starts."""
    image: Confined | None = None
    """Its image, if this is a file that tasks can replace; it is resolved like them."""


def begin_arguments(
    directories: Sequence[Confined],
    files: Sequence[tuple[str, str]],
    late_inputs: Sequence[tuple[str, str]],
    alternatives: Sequence[tuple[str, str, str, str]],
) -> tuple[str, ...]:
    """Return the arguments of ``mlcr_write_begin``; empty if the host has nothing to do.

    Args:
        directories: Directories to create when the task begins.
        files: (name, path) of inputs that must be there.
        late_inputs: (name, path) of inputs whose types choose the command.
        alternatives: (types, command, arguments for the owner, mounts) for each command; all but
            the types are quoted.
    """
    groups = ([each.words for each in directories], files, late_inputs)
    if not any(groups):
        return ()
    words = [word for group in groups for word in (str(len(group)), *_flatten(group))]
    return (quote_words(words), *_flatten(alternatives))


def _flatten(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [word for row in rows for word in row]


@attrs.frozen(kw_only=True)
class ConfinedCopy:
    """A copy to make on the host, unless its target exists."""

    source: Confined
    target: Confined
    may_be_missing: bool = False
    """Whether nothing is copied if the source does not exist."""

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of ``mlcr_copy_atomically``."""
        need = "optional" if self.may_be_missing else "required"
        return (need, *self.source.words, *self.target.words)


@attrs.frozen(kw_only=True)
class Prerequisites:
    """What must exist on the host before the tasks start."""

    directories: tuple[Confined, ...] = ()
    copies: tuple[ConfinedCopy, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of ``mlcr_prepare_paths``."""
        copies = _flatten(copy.words for copy in self.copies)
        directories = _flatten(directory.words for directory in self.directories)
        return (str(len(self.copies)), *copies, *directories)


_NOTHING = Prerequisites()


class ClaimLostError(BusyError):
    """Another job has had the workspace or a GPU since the claim; the job was not started.

    The client claims and prepares the job again, so no user sees this error.
    """


@attrs.frozen(kw_only=True)
class Claimed:
    """What a job must still hold at its launch."""

    lock: str
    """Path of the workspace's lock on the host."""
    group: str = ""
    """As for :func:`reserve`."""
    engine: tuple[str, ...] = ()
    """The engine that is asked for the GPUs of containers."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that the job has leased."""

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of ``mlcr_confirm_claim``, without the job."""
        return (self.lock, self.group, quote_words(self.engine), *self.gpus)


@attrs.frozen(kw_only=True)
class Reservation:
    """The result of a claim."""

    state: str | None = None
    """The job's state if another client has claimed it; ``None``: this client may start it."""
    is_kept: bool = False
    """Whether the workspace still belongs to the group, so that no other run has changed it."""


def reserve(
    connection: Connection,
    handle: JobHandle,
    lock: str,
    *,
    group: str = "",
    uses: Sequence[str] = (),
    wait: Callable[[str], None] | None = None,
) -> Reservation:
    """Claim the job and its workspace, for as long as this connection or the job lives.

    Args:
        connection: The host.
        handle: The job.
        lock: Path of the workspace's lock on the host.
        group: The run whose jobs share the workspace with this one; empty: no other job may.
        uses: What the job uses on the host, as in :mod:`mlcube_remote.plan.uses`.
        wait: Called once with the reason if another run holds the workspace; then this function
            waits for it. ``None``: do not wait.

    Raises:
        BusyError: Another run holds the workspace, and ``wait`` is ``None``.
        HostUnfitError: The host could not write the job's files.
    """
    words = claim_words(handle, lock, group, uses)
    is_reported = False
    while True:
        reply = connection.call("mlcr_claim_job", *words)
        if reply.code == status.ALREADY_CLAIMED:
            return Reservation(state=read_job_state(connection, handle))
        if reply.code != status.LOCK_HELD:
            _require(connection, reply)
            return Reservation(is_kept=dict(reply.records()).get("kept") == "yes")
        if dict(reply.records()).get("state") == "cleaning":
            time.sleep(_POLL_INTERVAL_S)  # another client removes old mirrors, for a moment
            continue
        busy = _held(connection, reply, handle)
        if wait is None:
            raise busy
        if not is_reported:
            wait(busy.reason)
            is_reported = True
        time.sleep(_POLL_INTERVAL_S)


def claim_words(
    handle: JobHandle, lock: str, group: str = "", uses: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the arguments of ``mlcr_claim_job``; see :func:`reserve`."""
    request = json.dumps(to_document(handle), ensure_ascii=True)
    outputs = quote_words(output_words(handle))
    return (handle.job_dir, request, lock, group, outputs, quote_words(uses))


def _held(connection: Connection, reply: Reply, handle: JobHandle) -> BusyError:
    facts = dict(reply.records())
    try:
        held = parse_json(facts.get("request", ""))
        run, client = str(held["run_id"]), str(held["client"])
        who = f"run {run} ({held['cube']}, of {client})"
        hint = f"wait for it (--wait), use another --workspace, or: mlcube-remote stop {run}"
    except (ValueError, KeyError, TypeError):
        who = f"the job {facts.get('holder', '?')}"
        hint = "wait for it (--wait), or use another --workspace"
    node = f" on {facts['node']}, which shares this home directory" if facts.get("node") else ""
    return BusyError(
        connection.name,
        f"the workspace is held by {who}, which is {facts.get('state', 'running')}{node}; "
        f"this run is {handle.run_id}",
        hint=hint,
    )


def _require(connection: Connection, reply: Reply) -> None:
    if not reply.ok:
        # dash calls a full disk an I/O error.
        signs = ("No space left", "quota exceeded", "I/O error")
        is_full = any(text in reply.message for text in signs)
        question = "is the host's disk full? " if is_full else ""
        raise HostUnfitError(
            connection.name,
            f"the job's files could not be written: {reply.message}",
            hint=f"{question}mlcube-remote hosts check {connection.name}",
        )


def read_job_state(connection: Connection, handle: JobHandle) -> str:
    """Return the job's state as ``mlcr_print_job_state`` prints it."""
    return connection.call("mlcr_print_job_state", handle.job_dir).text.strip()


def launch(
    connection: Connection,
    handle: JobHandle,
    starts: Sequence[TaskStart],
    env: Mapping[str, Secret],
    *,
    claimed: Claimed,
    expected: Prerequisites = _NOTHING,
    log_limit: int = LOG_LIMIT,
    described: Sequence[str] = (),
) -> str:
    """Write the tasks to the host and start the supervisor, unless that was done before.

    Args:
        connection: The host.
        handle: The job, which is reserved.
        starts: The tasks, in order.
        env: Variables for the containers; exported to the supervisor, never written to a file.
        claimed: What the job has, unless it was lost with a connection.
        expected: What the host creates first.
        log_limit: Maximum size of each log in bytes; 0: no limit.
        described: Arguments of ``mlcr_describe_mirror``; empty: nothing is described.

    Returns:
        The description; empty if there is none.

    Raises:
        ClaimLostError: Another job has had the workspace or a GPU in the meantime.
        UnsafeContentError: A link leads from a path of the job to another place.
        StateUnknownError: The host's scheduler gave no answer, and may have the job.
        HostError: The host could not create what the tasks expect, or could not write the tasks,
            or its scheduler refused the job; nothing runs.
    """
    function, more = "mlcr_launch_job", tuple[str, ...]()
    if described:
        function, more = "mlcr_launch_and_describe", (quote_words(described),)
    reply = connection.call(
        function,
        *more,
        *launch_words(handle, starts, env, claimed, expected, log_limit),
        env={name: value.reveal() for name, value in env.items()},
        timeout=_COPY_TIMEOUT_S if expected.copies else _LAUNCH_TIMEOUT_S,
    )
    if reply.code in {status.NOT_PREPARED, status.LEADS_OUT}:
        raise preparation_error(connection, reply)
    if reply.code == status.CLAIM_LOST:
        raise claim_lost(connection)
    if reply.code in {status.NOT_SUBMITTED, status.NO_SCHEDULER}:
        raise submission_error(connection, handle, reply)
    if reply.code != status.ALREADY_LAUNCHED:
        _require(connection, reply)
    return reply.text


def launch_words(
    handle: JobHandle,
    starts: Sequence[TaskStart],
    env: Mapping[str, Secret],
    claimed: Claimed,
    expected: Prerequisites = _NOTHING,
    log_limit: int = LOG_LIMIT,
) -> list[str]:
    """Return the arguments of ``mlcr_launch_job``; see :func:`launch`."""
    timeout = "" if handle.timeout is None else f"{handle.timeout} {handle.grace}"
    words: list[str] = []
    for start in starts:
        words += [
            *(start.task, quote_words(start.argv), quote_words(start.engine)),
            *(start.container, timeout, quote_words(start.own), quote_words(start.begin)),
            *(mount_words(start.mounts), mount_words(filter(None, (start.image,)))),
        ]
    return [
        handle.job_dir,
        supervisor(),
        str(log_limit),
        "yes" if env else "",
        quote_words(claimed.words),
        quote_words(expected.words),
        *words,
    ]


def claim_lost(connection: Connection) -> ClaimLostError:
    """Return the error for a workspace or a GPU that another job has had since the claim."""
    return ClaimLostError(
        connection.name, "another job used the workspace or a GPU while there was no connection"
    )


def preparation_error(connection: Connection, reply: Reply) -> HostError:
    """Return the error for directories, copies or files that could not be created."""
    if reply.code == status.LEADS_OUT:
        return leads_out_error(connection.name, reply.message)
    return HostError(connection.name, f"the workspace could not be prepared: {reply.message}")


def mount_words(mounts: Iterable[Confined]) -> str:
    """Return the arguments of ``mlcr_write_mounts``, quoted."""
    return quote_words(_flatten(each.words for each in mounts))


def leads_out_error(host: str, reason: str) -> UnsafeContentError:
    """Return the error for a path on the host from which a link leads to another place."""
    return UnsafeContentError(
        host,
        f"a link leads out of the workspace: {reason}",
        hint="delete the link, or give the path that is meant: PARAMETER=/PATH/, --workspace, or, "
        "for an image, -P",
    )
