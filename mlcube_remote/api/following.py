# SPDX-License-Identifier: Apache-2.0
"""Follow, pull and stop runs that this machine or another one has started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlcube_remote import app
from mlcube_remote.api.arguments import Access, Names, access, to_tuple
from mlcube_remote.api.observer import OnEvent, to_callback, warn
from mlcube_remote.api.results import RunResult

if TYPE_CHECKING:
    from mlcube_remote.app.follow import FoundRun


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
        run: Its name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        hosts: Only its jobs on these hosts.
        pulls: Whether to pull.
        inventory: As for :func:`run`; by default the one that the run was started with.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.
        on_event: Takes the events.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    found = _find(run, access(hosts, inventory, password, passphrase))
    how = app.follow.AttachOptions(pulls=pulls)
    return RunResult.of(app.follow.follow_run(found, how, to_callback(on_event)))


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
        run: Its name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        on_event: Takes the events; output is :class:`~mlcube_remote.events.Output`.
        tail: Number of lines of each stream to start with; by default all.
        hosts: Only its jobs on these hosts.
        inventory: As for :func:`attach`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    found = _find(run, access(hosts, inventory, password, passphrase))
    how = app.follow.AttachOptions(tail=tail, pulls=False, ends=True)
    report = app.follow.follow_run(found, how, to_callback(on_event), is_recorded=False)
    return RunResult.of(report)


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
    found = _find(run, access(hosts, inventory, password, passphrase))
    return RunResult.of(app.follow.read_status(found, to_callback(on_event)))


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
        run: Its name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        outputs: Only these; empty: all.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    found = _find(run, access(hosts, inventory, password, passphrase))
    return RunResult.of(app.follow.pull_run(found, to_tuple(outputs), to_callback(on_event)))


def stop(
    run: str,
    *,
    grace: float | None = None,
    hosts: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Stop a run's jobs, and return their outcomes. It is safe to stop them twice.

    Args:
        run: Its name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        grace: Seconds between SIGTERM and SIGKILL; ``None``: as the run was started with.
        hosts: As for :func:`attach`, like all that follow.
        inventory: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: There is no such run.
    """
    found = _find(run, access(hosts, inventory, password, passphrase))
    return RunResult.of(app.follow.stop_run(found, grace, to_callback(on_event)))


def _find(run: str, where: Access) -> FoundRun:
    return app.follow.find_run(run, where.hosts, where.credentials, warn)
