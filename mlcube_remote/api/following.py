# SPDX-License-Identifier: Apache-2.0
"""Follow runs that were begun: here before, or by another client."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlcube_remote.api import arguments
from mlcube_remote.api.arguments import Names, OnEvent
from mlcube_remote.api.results import RunResult
from mlcube_remote.events.outcome import JobOutcome

if TYPE_CHECKING:
    from mlcube_remote.dispatch.attach import AttachOptions
    from mlcube_remote.dispatch.run_context import RunContext
    from mlcube_remote.jobs.lookup import RecordedJob


def attach(
    run: str,
    *,
    hosts: Names = (),
    pulls: bool = True,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Follow a run until it has ended, its output from the first byte on, and pull what it made.

    Args:
        run: Its id, or enough of its beginning or end.
        hosts: Only its jobs on these hosts.
        pulls: Whether to pull.
        inventory: As for :func:`run`; by default the one that the run was begun with.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.
        on_event: Is told what happens.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    where = arguments.where(hosts, inventory, password, passphrase)
    return _follow(run, AttachOptions(pulls=pulls), where, on_event)


def logs(
    run: str,
    on_event: OnEvent,
    *,
    tail: int | None = None,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> RunResult:
    """Tell what a run's tasks have written by now, as events, and return how its jobs stand.

    Args:
        run: Its id, or enough of its beginning or end.
        on_event: Is told of it: :class:`~mlcube_remote.events.model.Output` is what tasks wrote.
        tail: Lines of each stream to begin with; by default the first byte.
        hosts: Only its jobs on these hosts.
        inventory: As for :func:`attach`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    where = arguments.where(hosts, inventory, password, passphrase)
    following = AttachOptions(tail=tail, pulls=False, ends=True)
    return _follow(run, following, where, on_event, is_kept=False)


def status(
    run: str,
    *,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Return how each job of a run stands; arguments as for :func:`attach`.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import status_job  # noqa: PLC0415

    return _each(run, status_job, arguments.where(hosts, inventory, password, passphrase), on_event)


def pull(
    run: str,
    *,
    outputs: Names = (),
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Bring home what a run has made; while it runs, what there is so far.

    Args:
        run: Its id, or enough of its beginning or end.
        outputs: Only these; none: all.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import pull_job  # noqa: PLC0415

    work = partial(pull_job, names=frozenset(arguments.names(outputs)))
    return _each(run, work, arguments.where(hosts, inventory, password, passphrase), on_event)


def stop(
    run: str,
    *,
    grace: float = 10.0,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Stop a run's jobs, and return how they ended; doing it twice does no harm.

    Args:
        run: Its id, or enough of its beginning or end.
        grace: Seconds between asking a task to end (SIGTERM) and ending it (SIGKILL).
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import stop_job  # noqa: PLC0415

    work = partial(stop_job, grace=round(grace))
    return _each(run, work, arguments.where(hosts, inventory, password, passphrase), on_event)


def _follow(
    text: str,
    following: AttachOptions,
    where: Mapping[str, Any],
    on_event: OnEvent | None,
    *,
    is_kept: bool = True,
) -> RunResult:
    """Follow each job of a run."""
    from mlcube_remote.dispatch.attach import attach_job  # noqa: PLC0415

    def work(job: RecordedJob, of: RunContext) -> JobOutcome:
        return attach_job(job, following, of)

    return _each(text, work, where, on_event, is_kept=is_kept)


def _each(
    text: str,
    work: Callable[[RecordedJob, RunContext], JobOutcome],
    where: Mapping[str, Any],
    on_event: OnEvent | None,
    *,
    is_kept: bool = True,
) -> RunResult:
    """Do something with each job of a run, and keep what it comes to in the run's record."""
    from mlcube_remote.cli.following import show  # noqa: PLC0415
    from mlcube_remote.cli.jobs import attach as command  # noqa: PLC0415
    from mlcube_remote.cli.session import find_run  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    found, logins = find_run(
        text,
        hosts=where["hosts"],
        inventory=where["inventory"],
        password=where["ask_password"],
        passphrase=where["ask_passphrase"],
    )
    outcomes = show(
        found.run_id,
        {job.name: partial(work, job) for job in found.jobs},
        {**arguments.defaults(command), "reporter": arguments.Listener(on_event)},
        connect=logins.connect,
        store=Store() if is_kept else None,
        results=found.results,
        keeps=found.shares_hosts,
    )
    return RunResult(run_id=found.run_id, jobs=outcomes)
