# SPDX-License-Identifier: Apache-2.0
"""Assign jobs to hosts, and choose the platform of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.commands.settings import SECTIONS
from mlcube_remote.cube.model import Cube
from mlcube_remote.cube.system_settings import SystemSettings, UserPlatform
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.slurm import count_gpus, trials_per_job
from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.suggestions import did_you_mean

if TYPE_CHECKING:
    from mlcube_remote.plan.trials import Trial


def make_jobs(request: RunRequest) -> tuple[JobSpec, ...]:
    """Return the jobs of a request; only their platforms are checked.

    Raises:
        PlanError: A platform is unknown, or a job to rerun no longer exists.
    """
    jobs = (
        [
            make_job(request, host, trial)
            for trial, host in zip(request.trials, itertools.cycle(request.hosts))
        ]
        if request.trials
        else [make_job(request, host) for host in request.hosts]
    )
    return tuple(jobs) if request.again is None else _select_rerun(jobs, request.again)


def _select_rerun(jobs: Sequence[JobSpec], attempts: Mapping[str, int]) -> tuple[JobSpec, ...]:
    """Return the jobs to rerun, with the numbers of their attempts."""
    if lost := sorted(set(attempts) - {job.name for job in jobs}):
        raise PlanError(
            f"{', '.join(lost)}: no longer a job of the run",
            hint="the cube or the options of the run have changed; start a new run",
        )
    chosen = [job for job in jobs if job.name in attempts]
    return tuple(attrs.evolve(job, attempt=attempts[job.name]) for job in chosen)


def make_job(
    request: RunRequest, host: Host, trial: Trial | None = None, *, attempt: int = 1
) -> JobSpec:
    """Return one job; only its platform is checked."""
    results = results_of(request)
    several = len(request.hosts) > 1
    if trial is not None:
        own: Path | None = results / trial.name
    else:
        own = results / host.name if several and not host.is_local else None
    chosen = choose_platform(request.platform or host.platform, request.cube, host, request.system)
    return JobSpec(
        request=request,
        host=host,
        platform=chosen.platform,
        user_settings=chosen.settings,
        results=own,
        trial=trial,
        attempt=attempt,
    )


def choose_platform(
    requested: str | None, cube: Cube, host: Host, system: SystemSettings
) -> UserPlatform:
    """Return the platform of a job: the requested one, else one that the cube has a section for.

    Raises:
        PlanError: The platform is unknown, or the cube has no section for it.
        UsageError: Its settings in the user's own file are wrong.
    """
    name = requested or next((each for each in PLATFORMS if each in cube.settings), None)
    if name is None:
        raise PlanError(
            f"{cube.where()}: no section docker, podman, singularity or apptainer",
            hint="add one, such as docker: {image: NAME}",
        )
    chosen = named_platform(name, host, system)
    # Singularity and Apptainer can convert a Docker image.
    sections = {*SECTIONS[chosen.platform], "docker"}
    if sections.isdisjoint(cube.settings):
        has = ", ".join(cube.settings) or "none"
        raise PlanError(
            f"{cube.where()}: no section for {host.name}'s platform {chosen.platform} "
            f"(it has: {has})",
            hint=f"add a {chosen.platform}: section, or choose a platform with --platform",
        )
    return chosen


def named_platform(name: str, host: Host, system: SystemSettings) -> UserPlatform:
    """Return the platform with this name: a built-in one, or one of the user's own.

    Raises:
        PlanError: There is none, or tasks cannot run on it.
        UsageError: Its settings in the user's own file are wrong.
    """
    chosen = system.platform(name) or UserPlatform(name=name, platform=name)
    if chosen.platform in PLATFORMS:
        return chosen
    known = dict.fromkeys((*PLATFORMS, *system.names))
    setting = "platform" if name == host.platform else "--platform"
    others = [each for each in known if each != name]
    raise PlanError(
        f"{host.name}: {setting}: unknown platform {name!r}{did_you_mean(name, others)}",
        hint=f"expected one of: {', '.join(known)}",
    )


def slots(request: RunRequest, host: Host) -> int:
    """Return how many jobs of a sweep a host has at once: at most as many as it lists GPUs for.

    On Slurm, a slot is a batch job, which may have several of them.

    Raises:
        PlanError: It lists fewer GPUs than one job needs.
    """
    needed = count_gpus(make_job(request, host, request.trials[0]))
    if not needed or host.gpus is None:
        return host.slots * trials_per_job(host)
    if needed > len(host.gpus):
        raise PlanError(
            f"{host.name}: the job needs {needed} GPUs, and the inventory lists {len(host.gpus)}",
            hint="omit the host, or request fewer: --gpus",
        )
    return min(host.slots, len(host.gpus) // needed)


def results_of(request: RunRequest) -> Path:
    """Return the directory for the outputs of a run with several jobs."""
    return request.cube.workspace.parent / "results" / request.run_id
