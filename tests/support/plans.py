# SPDX-License-Identifier: Apache-2.0
"""A small cube, and plans of its jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.cube.load import load
from mlcube_remote.errors import MLCubeRemoteError, PlanError
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import JobSpec, RunRequest
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.trust.requests import FULL_TRUST

CUBE = """
name: my cube
docker: {image: example/x}
tasks:
  make:
    parameters: {outputs: {data: data/}}
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: conf.yaml}}
      outputs: {model: model/}
"""


HOST = Host(name="h", remote_root="/r")


def request(
    root: Path,
    *tasks: str,
    hosts: tuple[Host, ...] = (HOST,),
    platform: str | None = None,
    **values: str,
) -> RunRequest:
    cube = load(root, tasks=tasks, task_args=values)
    return RunRequest(
        cube=cube, hosts=hosts, tasks=tasks, run_id="run", platform=platform, trust=FULL_TRUST
    )


def probed(job: JobSpec, **kinds: str) -> JobPlan:
    """Return the plan of a job whose host has these paths."""
    facts = HostFacts(
        home="/h",
        root="/r",
        user="me",
        uid="1000",
        machine="x86_64",
        root_id="1",
        rsync="3.2.7",
        kinds=kinds,
    )
    return make_plan(job, facts)


def refused(what: RunRequest) -> MLCubeRemoteError:
    with pytest.raises(PlanError) as caught:
        plan_jobs(what)
    return caught.value
