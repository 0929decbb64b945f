# SPDX-License-Identifier: Apache-2.0
"""Commands of images: pull, build, inspect, entrypoints."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from mlcube_remote.cube.host_paths import PathKind
from tests.support.task_commands import FILE, Make, cube

SIF = "/c/workspace/.image/repoimage1.sif"


ENTRYPOINTS = [
    ("docker", "/run.sh", "docker run --entrypoint=/run.sh repo/image:1"),
    ("docker", "python3 /a b.py", "docker run --entrypoint=python3 repo/image:1 /a b.py"),
    ("docker", "sh '/a b.sh'", "docker run --entrypoint=sh repo/image:1 '/a b.sh'"),
    ("docker", "'  '", "docker run repo/image:1 go"),
    ("singularity", "sh '/a b.sh'", f"singularity exec {SIF} sh '/a b.sh'"),
    ("singularity", "''", f"singularity run {SIF} go"),
]


@pytest.mark.parametrize(("platform", "entrypoint", "expected"), ENTRYPOINTS)
def test_the_entrypoint_replaces_the_task_name(
    make: Make, platform: str, entrypoint: str, expected: str
) -> None:
    quoted = entrypoint if entrypoint in {"'  '", "''"} else f'"{entrypoint}"'
    text = cube(task=f"entrypoint: {quoted}")
    assert make(text, platform).run == (tuple(shlex.split(expected)),)


CONFIGURES: list[Any] = [
    pytest.param("docker", "", {}, "docker pull i", id="pull is the default"),
    pytest.param("docker", "", {"/c/Dockerfile": FILE}, "docker pull i", id="even with a recipe"),
    pytest.param("docker", "build_strategy: auto", {}, "docker pull i", id="auto without recipe"),
    pytest.param("docker", "build_strategy: always", {}, "docker pull i", id="always without one"),
    pytest.param(
        "docker",
        "build_strategy: auto, build_args: {A: b c}",
        {"/c/Dockerfile": FILE},
        "docker build --build-arg 'A=b c' -t i -f /c/Dockerfile /c",
        id="auto with a recipe",
    ),
    pytest.param(
        "docker",
        "build_strategy: auto, build_context: ../p, build_file: D, build_args: --no-cache",
        {"/p/D": FILE},
        "docker build --no-cache -t i -f /p/D /p",
        id="context and recipe",
    ),
    pytest.param("podman", "", {}, "podman pull i", id="podman"),
    pytest.param(
        "singularity",
        "",
        {},
        "singularity build --fakeroot /c/workspace/.image/i.sif docker://i",
        id="SIF from the docker image",
    ),
    pytest.param(
        "singularity",
        "tar_file: i.tar",
        {},
        "singularity build --fakeroot /c/workspace/.image/i.sif docker-archive:i.tar",
        id="SIF from an image archive",
    ),
    pytest.param(
        "apptainer",
        "",
        {"/c/Singularity.recipe": FILE},
        "apptainer build --fakeroot /c/workspace/.image/Singularityrecipe.sif Singularity.recipe",
        id="SIF from a recipe",
    ),
]


@pytest.mark.parametrize(("platform", "docker", "there", "expected"), CONFIGURES)
def test_configure_pulls_or_builds_the_image(
    make: Make, platform: str, docker: str, there: dict[str, PathKind], expected: str
) -> None:
    made = make(cube(docker=f"image: i, {docker}"), platform, there=there)
    assert made.configure == (tuple(shlex.split(expected)),)
    assert made.cwd == "/c"
    always = "always" in docker
    assert made.before_each_run is always
    assert len(made.run) == (2 if always else 1)


def test_the_probe_inspects_the_image(make: Make) -> None:
    made = make(cube(docker="image: i, docker: sudo docker"))
    assert made.probe == ("sudo", "docker", "image", "inspect", "--format", "{{.Id}}", "i")
    assert made.engine == ("sudo", "docker")
    assert made.run[-1][made.launch_at - 1] == "run"
