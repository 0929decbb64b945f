# SPDX-License-Identifier: Apache-2.0
"""Check that the host has the inputs that are not sent to it."""

from __future__ import annotations

import os

from mlcube_remote.cube.host_paths import contains, host_path
from mlcube_remote.dispatch.context import JobContext
from mlcube_remote.errors import PlanError
from mlcube_remote.facts.path_kind import read_kind
from mlcube_remote.plan.job_plan import JobPlan
from mlcube_remote.plan.placement import DataLocation, find_missing_makers


def require_data_on_host(plan: JobPlan) -> None:
    """Reject input data of the host that the probe has not found.

    Raises:
        PlanError: An input does not exist, and no task of the job makes it.
    """
    if plan.spec.host.is_local:
        return
    own = plan.paths.own_dir
    for task, item in plan.task_parameters():
        if item.where is not DataLocation.HOST or item.is_output or item.made_by:
            continue
        path = host_path(item.parameter.value, plan.paths.layout)
        # What a job of a sweep has in its own directory is made at the launch.
        if plan.kinds.get(path) != "-" or (own and contains(own, path)):
            continue
        is_here = os.path.exists(path)
        is_created = item.is_directory and not is_here
        if is_created or item.may_be_missing(plan.spec.request.allow_missing):
            continue
        name = item.parameter.name
        raise PlanError(
            f"{plan.spec.host.name}: {task}.{name}: input {path} does not exist on the host",
            hint=f"it is on this machine, so: {name}=local:{path}"
            if is_here
            else f"create it on the host, or give another: {name}=PATH; "
            f"if the task can do without it: --allow-missing={name}",
        )


def require_mirrored_inputs(job: JobContext, plan: JobPlan) -> None:
    """Reject inputs that are neither on this machine nor in the mirror on another host.

    Raises:
        PlanError: There is such an input.
    """
    if plan.spec.host.is_local:
        return  # the plan has rejected them
    cube = plan.spec.cube
    for task, item in plan.task_parameters():
        value, name = item.parameter.value, item.parameter.name
        makers = find_missing_makers(task, item, cube, plan.spec.request.allow_missing)
        if not makers or item.local is None:
            continue
        path = plan.paths.mirror(item.local, cube)
        if read_kind(job.connection.current, path) == "-":
            raise PlanError(
                f"{plan.spec.host.name}: {task}.{name}: input {value!r} is "
                "neither on this machine nor on the host",
                hint=f"run the task that makes it first ({', '.join(makers)}); if this task can "
                f"do without it: --allow-missing={name}",
            )
