# SPDX-License-Identifier: Apache-2.0
"""Which SIF image a job uses if only the host knows what exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import HOST, probed, request

CUBE = """
name: mnist
docker: {image: mlcommons/mnist:0.0.1}
singularity: {image: IMAGE, build_file: RECIPE}
tasks: {make: }
"""


def job_of(root: Path, image: str, recipe: str = "x.def", host: Host = HOST) -> JobSpec:
    root.mkdir(exist_ok=True)
    (root / "mlcube.yaml").write_text(CUBE.replace("IMAGE", image).replace("RECIPE", recipe))
    (job,) = plan_jobs(request(root, "make", hosts=(host,), platform="apptainer"))
    return job


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cube"


def test_the_host_is_asked_for_an_image_that_only_it_may_have(root: Path) -> None:
    job = job_of(root, "mnist.sif")
    probed_paths = make_plan(job).probe_paths
    (image,) = [path for path in probed_paths if path.endswith("/workspace/.image/mnist.sif")]
    assert probed(job, **{image: "f"}).image.image == image
    assert probed(job, **{image: "-"}).image.source == "docker://mlcommons/mnist:0.0.1"


@pytest.mark.parametrize(
    ("found", "source"), [("f", "/opt/x.def"), ("-", "docker://mlcommons/mnist:0.0.1")]
)
def test_the_host_is_asked_for_a_recipe_of_its_own(root: Path, found: str, source: str) -> None:
    job = job_of(root, "mnist.sif", "/opt/x.def")
    before = make_plan(job)
    assert "/opt/x.def" in before.probe_paths
    assert before.image.source == "/opt/x.def", "a dry run assumes that it exists"
    assert probed(job, **{"/opt/x.def": found}).image.source == source


def test_what_is_on_this_machine_needs_no_question(root: Path) -> None:
    root.mkdir()
    (root / "x.def").touch()
    job = job_of(root, "mnist.sif")
    assert not [path for path in make_plan(job).probe_paths if path.endswith(".def")]
    assert make_plan(job).image.source == "x.def"
    assert make_plan(job_of(root, "mnist.sif", host=LOCAL_HOST)).probe_paths == ()
