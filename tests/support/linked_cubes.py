# SPDX-License-Identifier: Apache-2.0
"""A cube with inputs, and data beside it, for the tests of links."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.cube.load import load
from mlcube_remote.errors import PlanError
from mlcube_remote.files.complete_inputs import check_complete
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import PlacedJob, place_job
from mlcube_remote.plan.plan import plan_jobs

CUBE = """
name: c
docker: {image: x}
tasks:
  train:
    parameters:
      inputs: {data: data/, config: {type: file, default: conf.yaml}}
      outputs: {model: model/}
  make:
    parameters: {outputs: {made: made/}}
"""


def make_cube(tmp_path: Path) -> Path:
    """Make the cube, and return its directory."""
    (tmp_path / "cube/workspace/data").mkdir(parents=True)
    (tmp_path / "cube/workspace/data/own.bin").write_text("own")
    (tmp_path / "cube/workspace/conf.yaml").write_text("x")
    (tmp_path / "cube/mlcube.yaml").write_text(CUBE)
    (tmp_path / "big/train").mkdir(parents=True)
    (tmp_path / "big/train/a.bin").write_text("a")
    (tmp_path / "big/b.bin").write_text("b")
    return tmp_path / "cube"


def job(
    root: Path, *, workspace: Path | None = None, host: Host | None = None, **values: str
) -> PlacedJob:
    cube = load(root, tasks=["train"], task_args=values, workspace=workspace)
    host = host or Host(name="h", remote_root="/r")
    request = RunRequest(cube=cube, hosts=(host,), tasks=("train",), run_id="run")
    (planned,) = plan_jobs(request)
    return place_job(planned)


COPYING = Host(name="h", remote_root="/r", copy_links=True)


def refused(root: Path, *, workspace: Path | None = None, **values: str) -> PlanError:
    with pytest.raises(PlanError) as caught:
        check_complete([job(root, workspace=workspace, host=None, **values)])
    return caught.value
