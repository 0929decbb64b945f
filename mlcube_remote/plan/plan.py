# SPDX-License-Identifier: Apache-2.0
"""From what was asked to what will be done: jobs, checked before any host is touched."""

from __future__ import annotations

from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.assignment import make_job, make_jobs
from mlcube_remote.plan.job import Job, RunRequest


def plan_jobs(request: RunRequest) -> tuple[Job, ...]:
    """Return the jobs, or say what does not fit; nothing is touched.

    Returns:
        One job per host; of a pool, one per trial, on a host that might become its own.

    Raises:
        PlanError: An input is missing, a host's platform does not fit the cube, results could
            not be written, or several jobs would write one path.
        CubeError: mlcube.yaml asks for something that cannot be honoured.
    """
    jobs = make_jobs(request)
    check_jobs(request, jobs)
    return jobs


def check_jobs(request: RunRequest, jobs: tuple[Job, ...]) -> None:
    """Say what does not fit in the jobs that a request comes to; see :func:`plan_jobs`."""
    # Hosts differ in their settings, trials in their values: what fits one of each fits all.
    spare = request.hosts[len(jobs) :] if request.trials else ()
    checked = (*jobs, *(make_job(request, host, request.trials[0]) for host in spare))
    require.check_isolation(request, jobs)
    if not request.configure_only:
        require.check_inputs(jobs)
    for job in checked:
        # Building the commands finds what does not fit before any host is asked.
        paths = job.unasked_paths()
        job.image_commands(paths, {})
        if not request.configure_only:
            require.check_types_known(job)
            for _, built in job.commands(paths, {}):
                require.check_options(job, built)
        require.check_recipe_inside(job)
        require.check_links(job)
    if not request.configure_only:
        require.check_writable(jobs, several=len(jobs) > 1)
