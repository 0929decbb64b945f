# SPDX-License-Identifier: Apache-2.0
"""The work to plan a sweep grows with the number of its jobs, and no faster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.cube.load import load
from mlcube_remote.files.complete_inputs import check_complete
from mlcube_remote.files.upload import job_trees
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import place_job
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.plan.sweep_points import sweep_points
from mlcube_remote.plan.trials import make_trials
from mlcube_remote.trust.requests import FULL_TRUST
from tests.support.plans import CUBE

HOSTS = (Host(name="h", remote_root="/r"), Host(name="i", remote_root="/r", slots=4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cube"
    (root / "workspace/data").mkdir(parents=True)
    (root / "mlcube.yaml").write_text(CUBE)
    for number in range(100):
        (root / f"workspace/{number}.yaml").write_text("lr: 1\n")
    (root / "workspace/conf.yaml").write_text("lr: 1\n")
    return root


def request(root: Path, count: int, name: str) -> RunRequest:
    cube = load(root)
    form = "{}.yaml" if name == "config" else "{}"
    points = sweep_points({name: [form.format(number) for number in range(count)]})
    trials = make_trials(cube, points, ["train"])
    return RunRequest(
        cube=cube, hosts=HOSTS, tasks=("train",), run_id="run", trials=trials, trust=FULL_TRUST
    )


def calls(work: Callable[[], object]) -> int:
    """Return how many functions the work calls, those of C included."""
    count = 0

    def profile(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def send_all(request: RunRequest) -> None:
    for job in plan_jobs(request):
        job_trees(place_job(job))


def run(work: Callable[[RunRequest], object], root: Path, count: int, name: str) -> None:
    work(request(root, count, name))


WORK = {
    "plan": plan_jobs,
    "dry run": dry_run,
    "check": lambda asked: check_complete(map(place_job, plan_jobs(asked))),
    "send": send_all,
}


@pytest.mark.parametrize("name", ["config", "lr"])
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_four_times_the_jobs_are_about_four_times_the_work(
    root: Path, work: Callable[[RunRequest], object], name: str
) -> None:
    few, many = (calls(partial(run, work, root, count, name)) for count in (25, 100))
    assert many < 4.2 * few
