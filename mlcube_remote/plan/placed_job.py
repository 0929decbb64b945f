# SPDX-License-Identifier: Apache-2.0
"""Where a job has its paths and its data: the part of a plan that needs no commands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import attrs

from mlcube_remote.commands.model import Copy
from mlcube_remote.cube.host_paths import host_path
from mlcube_remote.cube.model import Cube
from mlcube_remote.plan.host_paths import HostPaths, host_paths
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.made_inputs import PlacedTasks, mark_made_inputs
from mlcube_remote.plan.placement import (
    DataLocation,
    PlacedParameter,
    is_made_by_cube,
    missing_inputs,
    place_parameters,
)


class ProbedFacts(Protocol):
    """What a plan needs to know about a host; :class:`mlcube_remote.facts.probe.HostFacts`."""

    @property
    def home(self) -> str:
        """The user's home directory."""

    @property
    def root(self) -> str:
        """``remote_root``, absolute."""

    @property
    def uid(self) -> str:
        """The user's numeric id."""

    @property
    def kinds(self) -> Mapping[str, str]:
        """Absolute path → ``f``, ``d`` or ``-``, for the probed paths."""

    @property
    def programs(self) -> Collection[str]:
        """Which of ``singularity`` and ``apptainer`` are installed."""

    @property
    def docker_is_podman(self) -> bool:
        """Whether the program of the platform ``docker`` is Podman."""


@attrs.frozen(kw_only=True)
class PlacedJob:
    """A job with its paths on the host and the location of its data."""

    spec: JobSpec
    paths: HostPaths
    data: PlacedTasks
    """Task → its parameters."""
    copies: Mapping[str, tuple[Copy, ...]]
    """Task → inputs that are copied into the job's own directory before the launch."""

    def task_parameters(self) -> Iterator[tuple[str, PlacedParameter]]:
        """Yield (task, parameter) of all tasks, in order."""
        for task, parameters in self.data.items():
            for parameter in parameters:
                yield task, parameter


def place_job(spec: JobSpec, facts: ProbedFacts | None = None) -> PlacedJob:
    """Find the paths of a job, and where its data is. Arguments are those of ``make_plan``.

    Raises:
        PlanError: A relative path leaves the cube, or a prefix is used wrongly.
    """
    paths = _paths(spec, facts)
    data = mark_made_inputs(_place(spec, spec.cube, paths), spec.cube, paths.layout)
    copies: Mapping[str, tuple[Copy, ...]] = {}
    if spec.trial is not None:
        from mlcube_remote.plan.trials import isolate  # noqa: PLC0415 - only for sweeps

        layout = isolate(data, spec.trial, paths, is_local=spec.host.is_local)
        data, copies = layout.placed, layout.copies
    return PlacedJob(spec=spec, paths=paths, data=data, copies=copies)


def inputs_in_mirror(job: PlacedJob) -> Iterator[PlacedParameter]:
    """Yield inputs that exist at most in the mirror, where an earlier run may have left them.

    A task of the cube makes them, but no task of this job.
    """
    for _, item in missing_inputs(job.data):
        if item.where is DataLocation.WORKSPACE and is_made_by_cube(item, job.spec.cube):
            yield item


def optional_inputs(job: PlacedJob) -> dict[str, str]:
    """Return the paths of inputs without a type that may be missing: then they count as files."""
    allowed = job.spec.request.allow_missing
    return {
        host_path(item.parameter.value, job.paths.layout): "f"
        for _, item in job.task_parameters()
        if item.is_of_unknown_type and item.may_be_missing(allowed)
    }


def _paths(spec: JobSpec, facts: ProbedFacts | None) -> HostPaths:
    if facts is not None:
        root, home = facts.root, facts.home
    else:
        root = spec.host.remote_root
        home = str(spec.request.client.home) if spec.host.is_local else "~"
    return host_paths(
        spec.host,
        spec.cube,
        spec.id,
        root=root,
        home=home,
        shares_mirror=spec.trial is not None,
        results=spec.results,
    )


def _place(spec: JobSpec, cube: Cube, paths: HostPaths) -> PlacedTasks:
    return {
        name: place_parameters(cube.tasks[name], cube, spec.host, root=paths.root, home=paths.home)
        for name in spec.request.tasks
    }
