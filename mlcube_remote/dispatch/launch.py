# SPDX-License-Identifier: Apache-2.0
"""Claiming a job on its host, and starting it there, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

import attrs

from mlcube_remote.commands.model import Copy
from mlcube_remote.dispatch.preflight import records
from mlcube_remote.dispatch.ticket import Ticket, to_document
from mlcube_remote.errors import BusyError, HostError, HostUnfitError
from mlcube_remote.remote import supervisor
from mlcube_remote.secret import Secret
from mlcube_remote.transport.base import Connection, Reply
from mlcube_remote.transport.quoting import quote_words

LOG_LIMIT = 8 * 1024**3
"""Bytes that each of a task's two log files may take on its host."""

_HELD, _EXISTS, _UNPREPARED = 16, 17, 18
_WRITING, _COPYING = 60.0, 3600.0
"""Seconds for a launch; copies of a task's own may be large."""
_WAITS = 2.0
"""Seconds between two looks at a workspace that another run holds."""


@attrs.frozen(kw_only=True)
class Start:
    """One task to start: what the supervisor is told."""

    task: str
    argv: tuple[str, ...]
    engine: tuple[str, ...]
    container: str
    """Name of its container, or nothing where the engine has none."""
    own: tuple[str, ...] = ()
    """What ``mlcr_chown_outputs`` is told when the task has ended; nothing: it is not called."""


@attrs.frozen(kw_only=True)
class Expected:
    """What must be there before the tasks begin."""

    directories: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    """Made unless their targets are there."""

    @property
    def words(self) -> tuple[str, ...]:
        """What ``mlcr_prepare_paths`` is told."""
        copies = (path for copy in self.copies for path in (copy.source, copy.target))
        return (str(len(self.copies)), *copies, *self.directories)


_NOTHING = Expected()


@attrs.frozen(kw_only=True)
class Reserved:
    """What became of a claim."""

    state: str | None = None
    """The job's state when it was claimed before; ``None``: it is ours to start."""
    is_kept: bool = False
    """Whether the workspace was the group's since its last job: nobody else changed it."""


def reserve(
    connection: Connection,
    ticket: Ticket,
    lock: str,
    *,
    group: str = "",
    wait: Callable[[str], None] | None = None,
) -> Reserved:
    """Claim the job and its workspace, for as long as this connection or the job lives.

    Args:
        connection: The host.
        ticket: The job.
        lock: The lock of the workspace on the host.
        group: What shares the workspace with this job; nothing: nobody.
        wait: Wait while another run holds the workspace; told who, once.

    Raises:
        BusyError: Another run holds the workspace, and nobody wants to wait.
        HostUnfitError: It could not be written there.
    """
    request = json.dumps(to_document(ticket), ensure_ascii=True)
    told = False
    while True:
        reply = connection.call("mlcr_claim_job", ticket.job_dir, request, lock, group)
        if reply.code == _EXISTS:
            return Reserved(state=state(connection, ticket))
        if reply.code != _HELD:
            _require(connection, reply)
            return Reserved(is_kept=dict(records(reply)).get("kept") == "yes")
        busy = _held(connection, reply, ticket)
        if wait is None:
            raise busy
        if not told:
            wait(busy.reason)
            told = True
        time.sleep(_WAITS)


def _held(connection: Connection, reply: Reply, ticket: Ticket) -> BusyError:
    facts = dict(records(reply))
    try:
        held = json.loads(facts.get("request", ""))
        run, client = str(held["run_id"]), str(held["client"])
        who = f"run {run} ({held['cube']}, of {client})"
        hint = f"wait for it (--wait), take another --workspace, or: mlcube-remote stop {run}"
    except (ValueError, KeyError, TypeError):
        who = f"the job {facts.get('holder', '?')}"
        hint = "wait for it (--wait), or take another --workspace"
    node = f", on {facts['node']}, which shares this home" if facts.get("node") else ""
    return BusyError(
        connection.name,
        f"the workspace is held by {who}, which is {facts.get('state', 'at work')}{node}; "
        f"this run is {ticket.run_id}",
        hint=hint,
    )


def _require(connection: Connection, reply: Reply) -> None:
    if not reply.ok:
        said = reply.stderr.decode("utf-8", "replace").strip() or f"status {reply.code}"
        raise HostUnfitError(
            connection.name,
            f"the job could not be written there: {said}",
            hint=f"is its disk full? mlcube-remote hosts check {connection.name}",
        )


def state(connection: Connection, ticket: Ticket) -> str:
    """Return the job's state in the words of ``mlcr_print_job_state``."""
    return connection.call("mlcr_print_job_state", ticket.job_dir).text.strip()


def launch(
    connection: Connection,
    ticket: Ticket,
    starts: Sequence[Start],
    env: Mapping[str, Secret],
    *,
    expected: Expected = _NOTHING,
    log_limit: int = LOG_LIMIT,
) -> None:
    """Write the tasks down on the host and start the supervisor, unless that was done before.

    Args:
        connection: The host.
        ticket: The job, which was reserved.
        starts: The tasks, in order.
        env: What the containers get by name; exported to the supervisor, written nowhere.
        expected: What is made there first.
        log_limit: Bytes that each log may take; 0: any number.

    Raises:
        HostError: What the tasks expect could not be made, or they could not be written; nothing
            runs.
    """
    timeout = "" if ticket.timeout is None else str(ticket.timeout)
    words: list[str] = []
    for start in starts:
        words += [
            *(start.task, quote_words(start.argv), quote_words(start.engine)),
            *(start.container, timeout, quote_words(start.own)),
        ]
    reply = connection.call(
        "mlcr_launch_job",
        ticket.job_dir,
        supervisor(),
        str(log_limit),
        "yes" if env else "",
        quote_words(expected.words),
        *words,
        env={name: value.reveal() for name, value in env.items()},
        timeout=_COPYING if expected.copies else _WRITING,
    )
    if reply.code == _UNPREPARED:
        raise unprepared(connection, reply)
    if reply.code != _EXISTS:
        _require(connection, reply)


def unprepared(connection: Connection, reply: Reply) -> HostError:
    """Return the error for directories or copies that could not be made."""
    said = reply.stderr.decode("utf-8", "replace").strip()
    return HostError(connection.name, f"the workspace could not be prepared there: {said}")
