# SPDX-License-Identifier: Apache-2.0
"""What would be done, without a login: the commands of every host and task."""

from __future__ import annotations

import attrs

from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.dispatch.plan import Job, Request, make_jobs, plan
from mlcube_remote.dispatch.sync import size_of, trees
from mlcube_remote.errors import PlanError

HOME = "~"
"""Stands for the home directory of a host that nobody has asked."""


@attrs.frozen(kw_only=True)
class Planned:
    """One task on one host."""

    host: str
    job: str = ""
    """The job's own name, of a sweep; nothing where its host has one job."""
    platform: str
    task: str
    commands: TaskCommands
    launch: Argv
    """What the launcher adds to the last of ``commands.run``."""


def dry_run(request: Request) -> tuple[tuple[Planned, ...], dict[str, tuple[str, ...]]]:
    """Plan a request and say what it comes to.

    Returns:
        One entry per host and task, in order, and notes per host: what would be sent, warnings, and
        why the request would be refused, though its commands are known.

    Raises:
        PlanError: Something does not fit together.
        CubeError: mlcube.yaml asks for something that cannot be honoured.
    """
    planned: list[Planned] = []
    notes: dict[str, tuple[str, ...]] = {}
    jobs, refusal = make_jobs(request), _refusal(request)
    for job in jobs:
        home = str(job.host_home) if job.host.is_local else HOME
        paths = job.paths(root=job.host.remote_root, home=home)
        commands = job.commands(paths, {})
        planned += [
            Planned(
                host=job.host.name,
                job=job.own_name,
                platform=job.platform,
                task=task,
                commands=built,
                launch=job.launch(number, task, built, uid="UID", paths=paths),
            )
            for number, (task, built) in enumerate(commands, 1)
        ]
        warnings = [warning for _, built in commands for warning in built.warnings]
        transfers = _transfers(job, root=job.host.remote_root, home=home)
        notes[job.label] = (*transfers, *warnings, *refusal)
    return tuple(planned), notes


def _refusal(request: Request) -> tuple[str, ...]:
    try:
        plan(request)
    except PlanError as problem:
        return (f"would be refused: {problem}",)
    return ()


def _transfers(job: Job, *, root: str, home: str) -> tuple[str, ...]:
    if job.host.is_local:
        return ()
    placed = job.sent(root)
    return tuple(
        f"sync {tree.local} to {tree.remote} ({size_of(tree)} at the most)"
        for tree in trees(job.request.cube, placed, job.paths(root=root, home=home))
    )
