# SPDX-License-Identifier: Apache-2.0
"""Check what a job needs and what it may not do, before any host is contacted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlcube_remote.commands.sif import unsupported_option
from mlcube_remote.cube.host_paths import Layout, contains, expand_runtime
from mlcube_remote.errors import PlanError
from mlcube_remote.plan.assignment import slots
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.placed_job import PlacedJob
from mlcube_remote.plan.placement import DataLocation, is_made_by_cube, missing_inputs
from mlcube_remote.platforms import CONTAINER_ENGINES


def check_isolation(request: RunRequest, jobs: Sequence[PlacedJob]) -> None:
    """Reject jobs that would write to paths that other jobs of the run read or write.

    Raises:
        PlanError: Two jobs write one path, inputs are writable, or not all jobs can be launched
            before the client exits.
    """
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
            f"--detach: {len(jobs)} jobs, {free} slots: the client must keep running to start the "
            f"other {len(jobs) - free}",
            hint="omit --detach and run the command under tmux or nohup; or give the hosts more "
            "slots: in the inventory",
        )
    writers: dict[str, str] = {}
    for job in jobs:
        for task, item in job.task_parameters():
            path, name = item.parameter.value.rstrip("/"), job.spec.name
            if not item.is_output or item.where is not DataLocation.HOST:
                continue
            if writers.setdefault(path, name) != name:
                raise PlanError(
                    f"{task}.{item.parameter.name}: jobs {writers[path]} and {name} would "
                    f"both write {path}",
                    hint="give a path relative to the workspace: each job then has its own",
                )


def check_inputs(job: PlacedJob, *, only_sent: bool = False) -> None:
    """Reject inputs that do not exist; with ``only_sent`` only those that ``local:`` names.

    Raises:
        PlanError: An input does not exist.
    """
    for task, item in missing_inputs(job.data):
        if only_sent and item.where is not DataLocation.CLIENT:
            continue
        if not job.spec.host.is_local and is_made_by_cube(item, job.spec.cube):
            continue
        where = job.spec.cube.where_given(task, item.parameter)
        raise PlanError(
            f"{where}: {task}.{item.parameter.name}: input {item.local} does not exist",
            hint=f"create it, or give another: {item.parameter.name}=PATH",
        )


def check_types_known(job: PlacedJob) -> None:
    """Reject an input without a type inside a directory that an earlier task of the job makes.

    MLCube looks at the path between the tasks; here the client may have exited by then.

    Raises:
        PlanError: There is such an input.
    """
    made: dict[Path, str] = {}
    for task, items in job.data.items():
        for item in items:
            if item.local is None or not item.is_of_unknown_type or os.path.lexists(item.local):
                continue
            makers = [maker for path, maker in made.items() if item.local.is_relative_to(path)]
            if makers:
                where = job.spec.cube.where_given(task, item.parameter)
                raise PlanError(
                    f"{where}: {task}.{item.parameter.name}: "
                    f"whether {item.parameter.value} is a file or a directory cannot be known "
                    f"before {makers[0]} has made it",
                    hint="set `type: file` or `type: directory` in mlcube.yaml",
                )
        made.update((item.local, task) for item in items if item.is_output and item.local)


def check_options(plan: JobPlan) -> None:
    """Reject an option that the platform accepts and ignores.

    Raises:
        PlanError: There is such an option.
    """
    spec = plan.spec
    for task in plan.tasks:
        found = unsupported_option(spec.platform, spec.request.options, task.commands.run[-1])
        if found is not None:
            option, why = found
            raise PlanError(
                f"{spec.host.name}: {spec.platform} cannot apply {option}: {why}",
                hint="omit it, or choose another platform with --platform",
            )


def check_recipe_inside(plan: JobPlan) -> None:
    """Reject a recipe or build context of this machine that is outside the cube, so is not sent.

    The host would silently pull the image instead of building it.

    Raises:
        PlanError: The recipe or build context is outside the cube.
    """
    spec, settings = plan.spec, plan.settings
    cube, in_engine = spec.request.cube, spec.platform in CONTAINER_ENGINES
    if spec.host.is_local or (in_engine and settings.text("build_strategy") == "pull"):
        return
    source = settings.text("build_file")
    if not in_engine and (source.startswith("~") or ":" in source):
        return  # a path of the host, or a URL
    layout = Layout(root=str(cube.root), workspace=str(cube.workspace), home=plan.paths.home)
    path = layout.root
    for key in ("build_context", "build_file") if in_engine else ("build_file",):
        if settings.text(key).startswith("/"):
            return  # a path of the host, and so is what is relative to it: check_recipe_on_host
        path = os.path.join(path, expand_runtime(settings.text(key), layout))
        if not contains(layout.root, path) and os.path.exists(path):
            raise PlanError(
                f"{settings.where(key)}: {settings.text(key)!r} is outside the cube's directory, "
                f"and so is not sent to {spec.host.name}",
                hint="move it into the cube"
                + (", or push the image and use build_strategy: pull" if in_engine else ""),
            )


def check_recipe_on_host(plan: JobPlan) -> None:
    """Reject a recipe that exists on this machine, but not on the probed host.

    The host would silently pull the image instead of building it.

    Raises:
        PlanError: The recipe exists only on this machine.
    """
    spec, recipe = plan.spec, plan.image.source
    if spec.host.is_local or spec.platform not in CONTAINER_ENGINES:
        return  # without a recipe, either the SIF file exists or the run fails
    if plan.kinds.get(recipe) != "-" or not os.path.exists(recipe):
        return
    is_own = plan.settings.text("build_file").startswith("/")
    where = plan.settings.where("build_file" if is_own else "build_context")
    raise PlanError(
        f"{where}: {recipe} is on this machine, and not on {spec.host.name}",
        hint="move it into the cube, which is sent, or copy it to the host",
    )


def check_writable(jobs: Sequence[PlacedJob]) -> None:
    """Reject outputs that cannot be written on this machine, or that several jobs would write.

    Raises:
        PlanError: There is such an output.
    """
    what = "jobs" if jobs[0].spec.trial else "hosts"
    checked: set[Path] = set()
    for job in jobs:
        for _, item in job.task_parameters():
            if not item.is_output or item.local is None:
                continue
            if len(jobs) > 1 and item.where is DataLocation.CLIENT:
                raise PlanError(
                    f"{item.parameter.name}: {len(jobs)} {what} would all write {item.local}",
                    hint=f"give a path relative to the workspace: each {what[:-1]} then has "
                    "its own folder in results/",
                )
            path = item.local if job.spec.results is None else job.spec.results
            if path not in checked:
                _check_writable_path(path)
                checked.add(path)


def _check_writable_path(path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(existing, os.W_OK | (os.X_OK if existing.is_dir() else 0)):
        raise PlanError(
            f"outputs cannot be written to {path}: {existing} is not writable",
            hint=f"chmod u+w {existing}, or choose another --workspace",
        )
