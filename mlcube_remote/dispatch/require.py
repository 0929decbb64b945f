# SPDX-License-Identifier: Apache-2.0
"""What a job must have, and may not do: found out before any host is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlcube_remote.commands.model import ImageCommands, TaskCommands
from mlcube_remote.commands.settings import merge
from mlcube_remote.commands.sif import unsupported_option
from mlcube_remote.cube.host_paths import Layout, contains, expand_runtime
from mlcube_remote.dispatch.assign import slots
from mlcube_remote.dispatch.job import Job, Request
from mlcube_remote.dispatch.placement import Where, made_by_cube, missing_inputs
from mlcube_remote.errors import PlanError
from mlcube_remote.platforms import CONTAINER_ENGINES


def apart(request: Request, jobs: tuple[Job, ...]) -> None:
    """Refuse jobs that would write where others of the run read or write."""
    if not request.trials:
        return
    if request.options.mount == "rw":
        raise PlanError(
            "--mount=rw: the jobs of a sweep share their inputs, which are mounted read-only",
            hint="an input that its task writes to: declare it with opts: rw, and each job has "
            "a copy",
        )
    free = sum(slots(request, host) for host in request.hosts)
    if request.detach and len(jobs) > free:
        raise PlanError(
            f"--detach: {len(jobs)} jobs for {free} slots: somebody must be here to place the "
            "others when hosts are free",
            hint="leave it out, and run it under tmux or nohup; or give hosts more slots: in the "
            "inventory",
        )
    writers: dict[str, str] = {}
    for job in jobs:
        for task, items in job.placed(job.host.remote_root).items():
            for item in items:
                path = item.parameter.value.rstrip("/")
                if not item.is_output or item.where is not Where.HOST:
                    continue
                if writers.setdefault(path, job.name) != job.name:
                    raise PlanError(
                        f"{task}.{item.parameter.name}: jobs {writers[path]} and {job.name} would "
                        f"both write {path}",
                        hint="give a path relative to the workspace: each job then has its own",
                    )


def inputs(jobs: tuple[Job, ...], *, only_sent: bool = False) -> None:
    """Refuse inputs that are nowhere; of those that ``local:`` names alone with ``only_sent``."""
    for job in jobs:
        placed = job.placed(job.host.remote_root)
        for task, item in missing_inputs(placed):
            if only_sent and item.where is not Where.CLIENT:
                continue
            if not job.host.is_local and made_by_cube(item, job.cube):
                continue
            where = job.cube.where_given(task, item.parameter)
            raise PlanError(
                f"{where}: {task}.{item.parameter.name}: input {item.local} does not exist",
                hint=f"create it, or give another: {item.parameter.name}=PATH",
            )


def types_known(job: Job) -> None:
    """Refuse an input without a type that an earlier task of the job is to make in a directory.

    The reference finds out between the tasks; here nobody may be left by then who could.
    """
    made: dict[Path, str] = {}
    for task, items in job.placed(job.host.remote_root).items():
        for item in items:
            if item.local is None or not item.is_of_unknown_type or os.path.lexists(item.local):
                continue
            makers = [maker for path, maker in made.items() if item.local.is_relative_to(path)]
            if makers:
                raise PlanError(
                    f"{job.cube.where_given(task, item.parameter)}: {task}.{item.parameter.name}: "
                    f"whether {item.parameter.value} is a file or a directory cannot be known "
                    f"before {makers[0]} has made it",
                    hint="say `type: file` or `type: directory` in mlcube.yaml",
                )
        made.update((item.local, task) for item in items if item.is_output and item.local)


def honoured(job: Job, commands: TaskCommands) -> None:
    """Refuse an option that the platform would take and silently not honour."""
    found = unsupported_option(job.platform, job.request.options, commands.run[-1])
    if found is not None:
        option, why = found
        raise PlanError(
            f"{job.host.name}: {job.platform} cannot honour {option}: {why}",
            hint="leave it out, or choose another platform with --platform",
        )


def recipe_inside(job: Job) -> None:
    """Refuse to pull silently what would be built here: a recipe or context that is not sent."""
    cube, in_engine = job.request.cube, job.platform in CONTAINER_ENGINES
    settings = merge(cube, job.platform, job.host.settings, job.options, job.user_settings)
    if job.host.is_local or (in_engine and settings.text("build_strategy") == "pull"):
        return
    source = settings.text("build_file")
    if not in_engine and (source.startswith("~") or ":" in source):
        return  # it is on the host, or behind an address
    layout = Layout(root=str(cube.root), workspace=str(cube.workspace), home=str(Path.home()))
    path = layout.root
    for key in ("build_context", "build_file") if in_engine else ("build_file",):
        if settings.text(key).startswith("/"):
            return  # the host's own, and what follows is relative to it; see recipe_there
        path = os.path.join(path, expand_runtime(settings.text(key), layout))
        if not contains(layout.root, path) and os.path.exists(path):
            raise PlanError(
                f"{settings.where(key)}: {settings.text(key)!r} is outside the cube's directory, "
                f"and so is not sent to {job.host.name}",
                hint="move it into the cube"
                + (", or push the image and use build_strategy: pull" if in_engine else ""),
            )


def recipe_there(job: Job, needed: ImageCommands, kinds: Mapping[str, str]) -> None:
    """Refuse to pull what would be built here, from a recipe that the host does not have.

    Args:
        job: The job.
        needed: Its image.
        kinds: What the host told of absolute paths.

    Raises:
        PlanError: The recipe is on this machine alone.
    """
    recipe = needed.source
    if job.host.is_local or job.platform not in CONTAINER_ENGINES:
        return  # without a recipe, a SIF file is there or the run ends
    if kinds.get(recipe) != "-" or not os.path.exists(recipe):
        return
    cube, section = job.request.cube, job.platform
    settings = merge(cube, section, job.host.settings, job.options, job.user_settings)
    is_own = settings.text("build_file").startswith("/")
    where = settings.where("build_file" if is_own else "build_context")
    raise PlanError(
        f"{where}: {recipe} is on this machine, and not on {job.host.name}",
        hint="move it into the cube, which is sent, or copy it there",
    )


def links_inside(job: Job) -> None:
    """Refuse inputs that are links out of the cube: the mirror would not have their data."""
    if job.host.is_local:
        return
    cube = job.cube
    inside = [Path(os.path.realpath(top)) for top in (cube.root, cube.workspace)]
    for task, items in job.placed(job.host.remote_root).items():
        for item in items:
            if item.is_output or item.where is not Where.WORKSPACE or item.local is None:
                continue
            real = Path(os.path.realpath(item.local))
            if real.exists() and not any(real.is_relative_to(top) for top in inside):
                raise PlanError(
                    f"{cube.where_given(task, item.parameter)}: {task}.{item.parameter.name}: "
                    f"{item.local} is a link that leaves the cube (to {real})",
                    hint=f"say where the data is: {item.parameter.name}=local:{real}",
                )


def writable(jobs: tuple[Job, ...], *, several: bool) -> None:
    """Refuse outputs that could not come home, or that several jobs would bring to one path."""
    what = "jobs" if jobs[0].trial else "hosts"
    for job in jobs:
        for items in job.placed(job.host.remote_root).values():
            for item in items:
                if not item.is_output or item.local is None:
                    continue
                if several and item.where is Where.CLIENT:
                    raise PlanError(
                        f"{item.parameter.name}: {len(jobs)} {what} would all write {item.local}",
                        hint=f"give a path relative to the workspace: each {what[:-1]} then has "
                        "its own folder in results/",
                    )
                _writable_path(item.local if job.results is None else job.results)


def _writable_path(path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(existing, os.W_OK | (os.X_OK if existing.is_dir() else 0)):
        raise PlanError(
            f"outputs cannot be written to {path}: {existing} is not writable",
            hint=f"chmod u+w {existing}, or choose another --workspace",
        )
