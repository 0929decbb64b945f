# SPDX-License-Identifier: Apache-2.0
"""Outputs that are not downloaded: they stay on this machine, or on the host."""

from __future__ import annotations

import posixpath

from mlcube_remote.cube.host_paths import host_path
from mlcube_remote.plan.outputs import DownloadRequest
from mlcube_remote.plan.placed_job import PlacedJob
from mlcube_remote.plan.placement import DataLocation


def outputs_in_place(job: PlacedJob) -> tuple[DownloadRequest, ...]:
    """Return the outputs that the job writes on this machine, with absolute paths."""
    if not job.spec.host.is_local:
        return ()
    return tuple(
        DownloadRequest(task=task, name=item.parameter.name, path=str(item.local), directory=None)
        for task, item in job.task_parameters()
        if item.is_output and item.local is not None
    )


def outputs_on_host(job: PlacedJob) -> tuple[DownloadRequest, ...]:
    """Return the outputs that stay on the host, with absolute paths there."""
    if job.spec.host.is_local:
        return ()
    return tuple(
        DownloadRequest(
            task=task,
            name=item.parameter.name,
            path=posixpath.normpath(host_path(item.parameter.value, job.paths.layout)),
            directory=None,
        )
        for task, item in job.task_parameters()
        if item.is_output and item.where is DataLocation.HOST
    )
