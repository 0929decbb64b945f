# SPDX-License-Identifier: Apache-2.0
"""Paths that the host looks at when a task begins, because earlier tasks of the job make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from mlcube_remote.commands.model import LateInput, TaskCommands
from mlcube_remote.cube.host_paths import contains, host_path, normalize
from mlcube_remote.cube.model import ParameterType
from mlcube_remote.plan.placed_job import PlacedJob


@attrs.frozen
class LatePaths:
    """What the host checks and creates when a task begins."""

    directories: tuple[str, ...] = ()
    """Directories to create."""
    files: tuple[LateInput, ...] = ()
    """Inputs that are files, and must exist."""


def late_paths(job: PlacedJob, built: Sequence[TaskCommands]) -> Mapping[str, LatePaths]:
    """Return the late paths of each task.

    A directory inside one that an earlier task can write to is created late: the earlier task would
    find a directory that MLCube creates after it, and could delete it.
    """
    result: dict[str, LatePaths] = {}
    early: set[str] = set()
    mounted: list[str] = []
    # Nothing is built if only the image is prepared.
    for task, commands in zip(job.data, built, strict=False):
        own = [normalize(path) for path in commands.directories]
        directories = tuple(
            path
            for path in own
            if path not in early and any(contains(each, path) for each in mounted)
        )
        result[task] = LatePaths(directories=directories, files=_files(task, job))
        early.update(own)
        mounted += [normalize(source) for source, _ in commands.outputs]
    return result


def _files(task: str, job: PlacedJob) -> tuple[LateInput, ...]:
    return tuple(
        LateInput(item.parameter.name, host_path(item.parameter.value, job.paths.layout))
        for item in job.data[task]
        if item.made_by
        and item.parameter.type is ParameterType.FILE
        and not item.parameter.decided_at_start
        and not item.may_be_missing(job.spec.request.allow_missing)
    )
