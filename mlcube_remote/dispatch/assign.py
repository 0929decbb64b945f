# SPDX-License-Identifier: Apache-2.0
"""Which job goes to which host, and on which platform it runs there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from mlcube_remote.commands.settings import SECTIONS
from mlcube_remote.cube.model import Cube
from mlcube_remote.cube.system_settings import SystemSettings, UserPlatform
from mlcube_remote.dispatch.job import Job, Request
from mlcube_remote.dispatch.trial import Trial
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host
from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.suggestions import nearest


def make_jobs(request: Request) -> tuple[Job, ...]:
    """Return the jobs of :func:`plan`, nothing checked but the platform."""
    jobs = (
        [
            make_job(request, host, trial)
            for trial, host in zip(request.trials, itertools.cycle(request.hosts))
        ]
        if request.trials
        else [make_job(request, host) for host in request.hosts]
    )
    return tuple(jobs) if request.again is None else _again(jobs, request.again)


def _again(jobs: Sequence[Job], attempts: Mapping[str, int]) -> tuple[Job, ...]:
    """Return those of a run's jobs that are to be run again."""
    if lost := sorted(set(attempts) - {job.name for job in jobs}):
        raise PlanError(
            f"{', '.join(lost)}: not a job of the run any more",
            hint="what the run was begun with has changed since; begin another run",
        )
    chosen = [job for job in jobs if job.name in attempts]
    return tuple(attrs.evolve(job, attempt=attempts[job.name]) for job in chosen)


def make_job(request: Request, host: Host, trial: Trial | None = None, *, attempt: int = 1) -> Job:
    """Return one job, nothing checked but the platform."""
    results = results_of(request)
    several = len(request.hosts) > 1
    if trial is not None:
        own: Path | None = results / trial.name
    else:
        own = results / host.name if several and not host.is_local else None
    chosen = choose_platform(request.platform or host.platform, request.cube, host, request.system)
    return Job(
        request=request,
        host=host,
        platform=chosen.platform,
        user_settings=chosen.settings,
        results=own,
        trial=trial,
        attempt=attempt,
    )


def choose_platform(
    asked: str | None, cube: Cube, host: Host, system: SystemSettings
) -> UserPlatform:
    """Return the platform of a job: as asked, else what the cube has a section for.

    Raises:
        PlanError: There is no such platform, or the cube has no section that would serve it.
        UsageError: What the user's own file says of it is wrong.
    """
    name = asked or next((each for each in PLATFORMS if each in cube.settings), None)
    if name is None:
        raise PlanError(
            f"{cube.where()}: no section docker, podman, singularity or apptainer",
            hint="add one, such as docker: {image: NAME}",
        )
    chosen = named_platform(name, host, system)
    # Of a Docker image, Singularity and Apptainer make their own.
    serving = {*SECTIONS[chosen.platform], "docker"}
    if serving.isdisjoint(cube.settings):
        has = ", ".join(cube.settings) or "none"
        raise PlanError(
            f"{cube.where()}: no section for {host.name}'s platform {chosen.platform} "
            f"(it has: {has})",
            hint=f"add a {chosen.platform}: section, or choose a platform with --platform",
        )
    return chosen


def named_platform(name: str, host: Host, system: SystemSettings) -> UserPlatform:
    """Return the platform of this name: one that there is anyway, or one of the user's own.

    Raises:
        PlanError: There is none, or it is none that tasks can run on.
        UsageError: What the user's own file says of it is wrong.
    """
    chosen = system.platform(name) or UserPlatform(name=name, platform=name)
    if chosen.platform in PLATFORMS:
        return chosen
    known = dict.fromkeys((*PLATFORMS, *system.names))
    setting = "platform" if name == host.platform else "--platform"
    meant = nearest(name, [each for each in known if each != name])
    raise PlanError(
        f"{host.name}: {setting}: unknown platform {name!r}"
        + (f" (did you mean {meant!r}?)" if meant else ""),
        hint=f"expected one of: {', '.join(known)}",
    )


def slots(request: Request, host: Host) -> int:
    """Return how many jobs of a sweep a host takes at once: no more than it lists GPUs for.

    Raises:
        PlanError: It lists fewer GPUs than one job asks for.
    """
    asked = make_job(request, host, request.trials[0]).gpus
    if not asked or host.gpus is None:
        return host.slots
    if asked > len(host.gpus):
        raise PlanError(
            f"{host.name}: {asked} GPUs are asked for, and the inventory lists {len(host.gpus)}",
            hint="leave the host out, or ask for fewer: --gpus",
        )
    return min(host.slots, len(host.gpus) // asked)


def results_of(request: Request) -> Path:
    """Return the folder for what a run of several jobs makes."""
    return request.cube.workspace.parent / "results" / request.run_id
