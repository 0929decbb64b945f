# SPDX-License-Identifier: Apache-2.0
"""From a request to the jobs of a run, checked before any host is contacted."""

from __future__ import annotations

from collections.abc import Sequence

from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.assignment import make_job, make_jobs
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import plan_placed
from mlcube_remote.plan.placed_job import PlacedJob, place_job
from mlcube_remote.plan.shipping import check_shipping


def plan_jobs(request: RunRequest) -> tuple[JobSpec, ...]:
    """Return the jobs of a request; nothing is written and no host is contacted.

    Returns:
        One job per host. In a sweep one per point, on a host that it might get.

    Raises:
        PlanError: An input is missing, a host's platform does not fit the cube, results cannot be
            written, or several jobs would write one path.
        CubeError: mlcube.yaml requests something that is not supported.
    """
    return tuple(job.spec for job in plan_placed_jobs(request))


def plan_placed_jobs(request: RunRequest) -> tuple[PlacedJob, ...]:
    """Return the jobs of a request with their paths, for further checks; see :func:`plan_jobs`."""
    placed = tuple(map(place_job, make_jobs(request)))
    check_jobs(request, placed)
    return placed


def check_jobs(request: RunRequest, placed: Sequence[PlacedJob]) -> None:
    """Check the jobs of a request; see :func:`plan_jobs`."""
    # Hosts differ in their settings, sweep points in their values: each is checked at least once.
    spare_hosts = request.hosts[len(placed) :] if request.trials else ()
    spare = [place_job(make_job(request, host, request.trials[0])) for host in spare_hosts]
    require.check_isolation(request, placed)
    if not request.configure_only:
        require.check_trust(request)
        for job in placed:
            require.check_workspace(job)
            require.check_inputs(job)
    for job in (*placed, *spare):
        # Commands that cannot be built are an error, too.
        plan = plan_placed(job, None)
        require.check_options(plan)
        require.check_recipe_inside(plan)
        check_shipping(plan)
    if not request.configure_only:
        require.check_writable(placed)
