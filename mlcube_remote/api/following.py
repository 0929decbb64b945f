# SPDX-License-Identifier: Apache-2.0
"""Follow runs that this machine or another one has started."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mlcube_remote.api import arguments
from mlcube_remote.api.arguments import Names
from mlcube_remote.api.observer import OnEvent, to_callback, warn
from mlcube_remote.api.results import RunResult
from mlcube_remote.events.outcome import JobOutcome

if TYPE_CHECKING:
    from mlcube_remote.app.follow import FoundRun
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
    """Follow a run from its first byte on until it has ended, and pull its outputs.

    Args:
        run: Its id, or enough of its start or end.
        hosts: Only its jobs on these hosts.
        pulls: Whether to pull.
        inventory: As for :func:`run`; by default the one that the run was started with.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.
        on_event: Takes the events.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.app.follow import follow_run  # noqa: PLC0415 - imported when used
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    found = _find(run, hosts, inventory, password, passphrase)
    return RunResult.of(follow_run(found, AttachOptions(pulls=pulls), to_callback(on_event)))


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
    """Emit the output of a run's tasks so far as events, and return the states of its jobs.

    Args:
        run: Its id, or enough of its start or end.
        on_event: Takes the events; :class:`~mlcube_remote.events.model.Output` is what tasks wrote.
        tail: Number of lines of each stream to start with; by default all.
        hosts: Only its jobs on these hosts.
        inventory: As for :func:`attach`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.app.follow import follow_run  # noqa: PLC0415 - imported when used
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    found = _find(run, hosts, inventory, password, passphrase)
    how = AttachOptions(tail=tail, pulls=False, ends=True)
    return RunResult.of(follow_run(found, how, to_callback(on_event)))


def status(
    run: str,
    *,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Return the state of each job of a run; arguments as for :func:`attach`.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import status_job  # noqa: PLC0415

    found = _find(run, hosts, inventory, password, passphrase)
    return _on_each_job(found, status_job, on_event)


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
    """Pull the outputs of a run; while it is running, those that exist so far.

    Args:
        run: Its id, or enough of its start or end.
        outputs: Only these; empty: all.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import pull_job  # noqa: PLC0415

    found = _find(run, hosts, inventory, password, passphrase)
    work = partial(pull_job, names=frozenset(arguments.several(outputs)))
    return _on_each_job(found, work, on_event)


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
    """Stop a run's jobs, and return their outcomes. It is safe to stop them twice.

    Args:
        run: Its id, or enough of its start or end.
        grace: Seconds between SIGTERM and SIGKILL.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    from mlcube_remote.dispatch.attach import stop_job  # noqa: PLC0415

    found = _find(run, hosts, inventory, password, passphrase)
    return _on_each_job(found, partial(stop_job, grace=round(grace)), on_event)


def _find(
    run: str,
    hosts: Names,
    inventory: str | os.PathLike[str] | None,
    password: str | None,
    passphrase: str | None,
) -> FoundRun:
    from mlcube_remote.app.follow import find_run  # noqa: PLC0415 - imported when used

    access = arguments.credentials(password, passphrase)
    return find_run(run, arguments.hosts(hosts, inventory), access, warn)


def _on_each_job(
    found: FoundRun,
    work: Callable[[RecordedJob, RunContext], JobOutcome],
    on_event: OnEvent | None,
) -> RunResult:
    from mlcube_remote.app.follow import on_each_job  # noqa: PLC0415 - imported when used

    return RunResult.of(on_each_job(found, work, to_callback(on_event)))
