# SPDX-License-Identifier: Apache-2.0
"""What would be done, without a login: the commands of every host and task."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mlcube_remote.commands.model import Argv, ImageCommands, TaskCommands
from mlcube_remote.errors import PlanError
from mlcube_remote.files.upload import upload_size, upload_trees
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.assignment import make_jobs
from mlcube_remote.plan.host_paths import HostPaths
from mlcube_remote.plan.job import Job, RunRequest
from mlcube_remote.plan.plan import check_jobs
from mlcube_remote.platforms import CONTAINER_ENGINES


@attrs.frozen(kw_only=True)
class PlannedTask:
    """One task on one host, or its image alone."""

    host: str
    job: str = ""
    """The job's own name, of a sweep; nothing where its host has one job."""
    platform: str
    task: str | None
    """``None``: the image is made ready, and nothing runs."""
    commands: ImageCommands
    launch: Argv = ()
    """What the launcher adds to the last of ``run``."""

    @property
    def run(self) -> tuple[Argv, ...]:
        """What runs the task."""
        return self.commands.run if isinstance(self.commands, TaskCommands) else ()

    @property
    def creates(self) -> tuple[str, ...]:
        """The directories that are made before it runs."""
        return self.commands.creates if isinstance(self.commands, TaskCommands) else ()


def dry_run(request: RunRequest) -> tuple[tuple[PlannedTask, ...], dict[str, tuple[str, ...]]]:
    """Plan a request and say what it comes to.

    Returns:
        One entry per host and task, in order (one per host where only images are made ready), and
        notes per host: what would be sent, warnings, and why the request would be refused, though
        its commands are known.

    Raises:
        PlanError: Something does not fit together, or an input of this machine is missing: without
            it neither what is sent is known, nor whether it is a file.
        CubeError: mlcube.yaml asks for something that cannot be honoured.
    """
    planned: list[PlannedTask] = []
    notes: dict[str, tuple[str, ...]] = {}
    jobs = make_jobs(request)
    if not request.configure_only:
        require.check_inputs(jobs, only_sent=True)
        for job in jobs:
            require.check_types_known(job)
    refusal = _refusal(request, jobs)
    for job in jobs:
        paths = job.unasked_paths()
        recipe = job.own_recipe(paths)
        kinds = {recipe: "f"} if recipe else {}
        build = _configured if request.configure_only else _tasks
        mine = build(job, paths, kinds)
        planned += mine
        warnings = [warning for item in mine for warning in item.commands.warnings]
        presumed = _presumed(job, paths, recipe)
        notes[job.label] = (*_transfers(job, paths), *presumed, *warnings, *refusal)
    return tuple(planned), notes


def _configured(job: Job, paths: HostPaths, kinds: Mapping[str, str]) -> list[PlannedTask]:
    commands = job.image_commands(paths, kinds)
    return [PlannedTask(host=job.host.name, platform=job.platform, task=None, commands=commands)]


def _tasks(job: Job, paths: HostPaths, kinds: Mapping[str, str]) -> list[PlannedTask]:
    return [
        PlannedTask(
            host=job.host.name,
            job=job.own_name,
            platform=job.platform,
            task=task,
            commands=built,
            launch=job.launch(number, task, built, uid="UID", paths=paths),
        )
        for number, (task, built) in enumerate(job.commands(paths, kinds), 1)
    ]


def _refusal(request: RunRequest, jobs: tuple[Job, ...]) -> tuple[str, ...]:
    try:
        check_jobs(request, jobs)
    except PlanError as problem:
        return (f"would be refused: {problem}",)
    return ()


def _presumed(job: Job, paths: HostPaths, recipe: str) -> tuple[str, ...]:
    """Return what is shown though nobody has asked the host for it yet."""
    inputs = {} if job.request.configure_only else job.presumed(paths)
    words = {"d": "directory", "f": "file"}
    asked = [
        f"{path} is shown as a {words[kind]}: whether it is one is asked of the host"
        for path, kind in inputs.items()
    ]
    if recipe:
        instead = "pulled" if job.platform in CONTAINER_ENGINES else "not made"
        asked.append(
            f"the image is shown as built from {recipe}: it is {instead} where the host lacks that"
        )
    return tuple(asked)


def _transfers(job: Job, paths: HostPaths) -> tuple[str, ...]:
    if job.host.is_local:
        return ()
    placed = job.sent(paths.root)
    return tuple(
        f"sync {tree.local} to {tree.remote} ({upload_size(tree)} at the most)"
        for tree in upload_trees(job.request.cube, placed, paths)
    )
