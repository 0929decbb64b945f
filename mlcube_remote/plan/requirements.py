# SPDX-License-Identifier: Apache-2.0
"""Check what a job needs and what it may not do, before any host is contacted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlcube_remote.commands.sif import unsupported_option
from mlcube_remote.cube.host_paths import contains, expand_runtime, host_path, layout_here
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import PlanError
from mlcube_remote.plan.assignment import slots
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.outputs import download_folders
from mlcube_remote.plan.placed_job import PlacedJob
from mlcube_remote.plan.placement import (
    DataLocation,
    PlacedParameter,
    find_missing_makers,
    is_made_by_cube,
    missing_inputs,
)
from mlcube_remote.plan.slurm import check_batch, container_options
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.trust.cube_requests import task_requests
from mlcube_remote.trust.requests import check


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
            hint="if a task writes to an input, declare it with opts: rw in mlcube.yaml: each job "
            "then has a copy",
        )
    free = sum(slots(request, host) for host in request.hosts)
    if request.detach and len(jobs) > free:
        raise PlanError(
            f"--detach: {len(jobs)} jobs for {free} slot{'' if free == 1 else 's'}: "
            f"the client must keep running to start the other {len(jobs) - free}",
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


def check_trust(request: RunRequest) -> None:
    """Reject paths of the cube that the user has not allowed, before they are looked up.

    Raises:
        PlanError: A task asks for one.
    """
    cube = request.cube
    tasks = (cube.tasks[name] for name in request.tasks)
    requests = (each for task in tasks for each in task_requests(cube, task))
    check(requests, request.trust, cube=cube.root)


def _found_elsewhere(item: PlacedParameter, cube: Cube) -> str:
    """Return a hint if a relative path exists, but in another directory than the workspace."""
    if item.local is None or not item.local.is_relative_to(cube.workspace):
        return ""
    path, name = item.local.relative_to(cube.workspace), item.parameter.name
    meant = cube.root / path
    if meant.is_relative_to(cube.workspace) and meant.exists():
        return f"paths begin in the workspace: {name}={meant.relative_to(cube.workspace)}"
    if path.exists():
        return f"paths begin in the workspace; for the one here: {name}=local:{path}"
    return ""


def check_inputs(job: PlacedJob, *, only_sent: bool = False) -> None:
    """Reject inputs that do not exist, or are files instead of directories.

    Args:
        job: The job.
        only_sent: Whether to reject only missing inputs that ``local:`` names.

    Raises:
        PlanError: There is such an input.
    """
    for task, item in job.task_parameters():
        if item.is_directory and not item.is_output and item.local and item.local.is_file():
            where, name = job.spec.cube.where_given(task, item.parameter), item.parameter.name
            raise PlanError(
                f"{where}: {task}.{name}: expected a directory, and {item.local} is a file",
                hint="give a directory, or declare the parameter with type: file in mlcube.yaml",
            )
    if job.spec.host.is_local and not only_sent:
        for task, item in job.task_parameters():
            _require_made(job, task, item)
    for task, item in missing_inputs(job.data):
        if only_sent and item.where is not DataLocation.CLIENT:
            continue
        if not job.spec.host.is_local and is_made_by_cube(item, job.spec.cube):
            continue
        is_sent = item.where is DataLocation.CLIENT
        if not is_sent and item.may_be_missing(job.spec.request.allow_missing):
            continue
        where, name = job.spec.cube.where_given(task, item.parameter), item.parameter.name
        raise PlanError(
            f"{where}: {task}.{name}: input {item.local} does not exist",
            hint=(
                ("" if is_sent else _found_elsewhere(item, job.spec.cube))
                or f"create it, or give another: {name}=PATH"
            )
            + ("" if is_sent else f"; if the task can do without it: --allow-missing={name}"),
        )


def _require_made(job: PlacedJob, task: str, item: PlacedParameter) -> None:
    """Reject an input on this machine that another task makes, and has not made.

    Raises:
        PlanError: It is one.
    """
    cube, name = job.spec.cube, item.parameter.name
    missing = find_missing_makers(task, item, cube, job.spec.request.allow_missing)
    if makers := [each for each in missing if each != task]:
        raise PlanError(
            f"{cube.where_given(task, item.parameter)}: {task}.{name}: input {item.local} does not "
            "exist",
            hint=f"run the task that makes it first: --task={makers[0]},{task}; if this task can "
            f"do without it: --allow-missing={name}",
        )


def find_empty_inputs(job: PlacedJob, kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning for each input directory that does not exist, and will be created.

    Args:
        job: The job.
        kinds: Kinds of paths on the host as probed; empty before the probe.
    """
    is_local = job.spec.host.is_local
    warnings: list[str] = []
    for task, item in job.task_parameters():
        if item.is_output or item.made_by or not item.is_directory:
            continue
        path = host_path(item.parameter.value, job.paths.layout)
        if item.where is DataLocation.HOST and not is_local:
            is_absent = kinds.get(path) == "-"
        else:
            is_absent = item.local is not None and not os.path.lexists(item.local)
            is_absent = is_absent and (is_local or not is_made_by_cube(item, job.spec.cube))
        if is_absent:
            shown = path if item.local is None else item.local
            warnings.append(
                f"{task}.{item.parameter.name}: {shown} does not exist; "
                "the task gets an empty directory"
            )
    return tuple(warnings)


def check_options(plan: JobPlan) -> None:
    """Reject an option that the platform accepts and ignores, or that Slurm cannot apply.

    Raises:
        PlanError: There is such an option.
    """
    spec = plan.spec
    check_batch(spec)
    for task in plan.tasks:
        found = unsupported_option(spec.platform, container_options(spec), task.commands.run[-1])
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
    if plan.context is not None:
        return  # it is sent beside the cube
    source = settings.text("build_file")
    if not in_engine and (source.startswith("~") or ":" in source):
        return  # a path of the host, or a URL
    layout = layout_here(cube)
    path, leaves = layout.root, ""
    for key in ("build_context", "build_file") if in_engine else ("build_file",):
        if settings.text(key).startswith("/"):
            return  # a path of the host, and so is what is relative to it: check_recipe_on_host
        path = os.path.join(path, expand_runtime(settings.text(key), layout))
        if not contains(layout.root, path):
            leaves = leaves or key
    # A context that merely exists is no recipe: then the image is pulled.
    if leaves and os.path.isfile(path):
        raise PlanError(
            f"{settings.where(leaves)}: {settings.text(leaves)!r} is outside the cube's directory, "
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


def check_workspace(job: PlacedJob) -> None:
    """Reject a workspace in the cube that is a link: neither inputs nor outputs pass through it.

    Raises:
        PlanError: It is a link, and the job uses it.
    """
    cube = job.spec.cube
    if job.spec.host.is_local or not cube.workspace.is_relative_to(cube.root):
        return
    link = _find_link(cube.root, cube.workspace)
    is_used = any(
        item.where is DataLocation.WORKSPACE
        and item.local is not None
        and item.local.is_relative_to(cube.workspace)
        for _, item in job.task_parameters()
    )
    if link is not None and is_used:
        real = os.path.realpath(cube.workspace)
        raise PlanError(
            f"{link} is a link (to {os.path.realpath(link)}): a workspace is not reached through a "
            "link in the cube",
            hint=f"name the place itself: --workspace={real}",
        )


def check_writable(jobs: Sequence[PlacedJob]) -> None:
    """Reject outputs that cannot be written on this machine, or that several jobs would write.

    Outputs are not written through links, because the cube may have planted them.

    Raises:
        PlanError: There is such an output.
    """
    what = "jobs" if jobs[0].spec.trial else "hosts"
    checked: set[Path] = set()
    for job in jobs:
        if not job.spec.host.is_local:
            _check_no_link_in_the_way(job)
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


def _check_no_link_in_the_way(job: PlacedJob) -> None:
    spec = job.spec
    folders = download_folders(spec.cube, job.task_parameters(), job.paths, results=spec.results)
    for folder in folders:
        anchor = folder.anchor
        if anchor is None:
            continue  # the user named it
        for output in folder.outputs:
            path = folder.target / output.path
            # A link in the place of a file is replaced.
            above = path if output.directory or path.is_dir() else path.parent
            link = _find_link(anchor, above)
            if link is not None:
                raise PlanError(
                    f"{output.task}.{output.name}: outputs are not written through links: {link} "
                    f"leads to {os.path.realpath(link)}",
                    hint=f"name the place itself: {output.name}=local:{os.path.realpath(path)}"
                    if spec.results is None
                    else f"remove the link: rm {link}",
                )


def _find_link(anchor: Path, path: Path) -> Path | None:
    """Return the first link on the way from ``anchor`` to ``path``, which is below it."""
    place = str(anchor)
    for part in path.relative_to(anchor).parts:
        place = os.path.join(place, part)
        if os.path.islink(place):
            return Path(place)
    return None


def _check_writable_path(path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(existing, os.W_OK | (os.X_OK if existing.is_dir() else 0)):
        raise PlanError(
            f"outputs cannot be written to {path}: {existing} is not writable",
            hint=f"chmod u+w {existing}, or choose another --workspace",
        )
