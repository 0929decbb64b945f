# SPDX-License-Identifier: Apache-2.0
"""Singularity and Apptainer."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.host_paths import PathKind
from tests.support.task_commands import FILE, Make, cube

SIF = "/c/workspace/.image/repoimage1.sif"


SIF_CASES: list[Any] = [
    pytest.param(
        "singularity: {image: x.sif, build_file: r.def}",
        {"there": {"/c/r.def": FILE}},
        ["singularity build --fakeroot /c/workspace/.image/x.sif r.def"],
        "singularity run /c/workspace/.image/x.sif go",
        id="its own section",
    ),
    pytest.param(
        "singularity: {image: /opt/x.sif}",
        {},
        [],
        "singularity run /opt/x.sif go",
        id="an existing SIF, and no recipe to build it",
    ),
    pytest.param(
        "singularity: {image: x.sif, image_dir: '${runtime.workspace}/i', build_args: '',"
        " build_file: 'library://a/b'}",
        {},
        ["singularity build /c/workspace/i/x.sif library://a/b"],
        "singularity run /c/workspace/i/x.sif go",
        id="image directory and URI",
    ),
    pytest.param(
        "singularity: {image: /x.sif, run_args: -C --cleanenv}",
        {"options": Options(gpus="1", network="none", memory="1g", cpu="0")},
        [],
        "singularity run -C --cleanenv --network=none --nv --vm-ram=1g --vm-cpu=0 /x.sif go",
        id="options of Singularity",
    ),
    pytest.param(
        "singularity: {image: /x.sif, singularity: sudo singularity}",
        {"platform": "apptainer", "options": Options(memory="1g", cpu="0")},
        [],
        "apptainer run --memory=1g --cpuset-cpus=0 /x.sif go",
        id="Apptainer reads Singularity's section, except limits and executable",
    ),
    pytest.param(
        "singularity: {image: /x.sif}\napptainer: {image: /y.sif, --nv: true}",
        {"platform": "apptainer"},
        [],
        "apptainer run --nv /y.sif go",
        id="Apptainer reads its own section last",
    ),
    pytest.param(
        "docker: {image: i, run_args: -C}\nsingularity: {singularity: apptainer}",
        {},
        ["apptainer build --fakeroot /c/workspace/.image/i.sif docker://i"],
        "apptainer run -C /c/workspace/.image/i.sif go",
        id="a section without an image uses the docker image",
    ),
    pytest.param(
        "docker: {image: i, run_args: -C}",
        {"user": {"image": "j", "build_file": "x.def", "run_args": "-c", "image_dir": "/sifs"}},
        ["singularity build --fakeroot /sifs/i.sif docker://i"],
        "singularity run -C /sifs/i.sif go",
        id="a cube's docker section overrides the user's own file",
    ),
    pytest.param(
        "singularity: {singularity: apptainer}",
        {"user": {"image": "j", "build_file": "docker://x"}},
        ["apptainer build --fakeroot /c/workspace/.image/j docker://x"],
        "apptainer run /c/workspace/.image/j go",
        id="a cube without any image uses the user's own",
    ),
]


@pytest.mark.parametrize(("sections", "how", "configure", "run"), SIF_CASES)
def test_sif_platforms_build_and_run(
    make: Make, sections: str, how: dict[str, Any], configure: list[str], run: str
) -> None:
    made = make(f"{sections}\ntasks: {{go: }}", **{"platform": "singularity"} | how)
    assert made.configure == tuple(tuple(shlex.split(command)) for command in configure)
    assert made.run == (tuple(shlex.split(run)),)
    assert made.probe == ("test", "-f", made.image)
    assert made.configure_directories == (made.image.rpartition("/")[0] or "/",)


def test_a_limit_that_singularity_ignores_is_a_warning(make: Make) -> None:
    made = make(cube(), "singularity", options=Options(memory="1g"))
    (warning,) = made.warnings
    assert warning.startswith("singularity applies --vm-ram only in a virtual machine")


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("2", {"SINGULARITYENV_CUDA_VISIBLE_DEVICES": "0,1"}),
        ("device=1,3", {"SINGULARITYENV_CUDA_VISIBLE_DEVICES": "1,3"}),
        ("all", {}),
        (None, {}),
    ],
)
def test_singularity_limits_devices_with_a_variable(
    make: Make, gpus: str | None, expected: dict[str, str]
) -> None:
    made = make(cube(), "singularity", options=Options(gpus=gpus))
    own = {"SINGULARITY_NO_EVAL": "1", "SINGULARITY_NO_MOUNT": "tmp"}
    assert made.environment == {**own, **expected}


def test_sif_engines_do_not_expand_values(make: Make) -> None:
    expected = {"APPTAINER_NO_EVAL": "1", "APPTAINER_NO_MOUNT": "tmp"}
    assert make(cube(), "apptainer").environment == expected
    assert make(cube(), "podman").environment == {}


@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_docker_settings_that_a_sif_image_ignores_are_a_warning(make: Make, platform: str) -> None:
    docker = "image: i, env_args: {A: 1}, gpu_args: --gpus=all, --network: none, build_file: D"
    text = cube(docker=docker)
    (warning,) = make(text, platform).warnings
    assert warning == (
        f"docker.env_args, docker.gpu_args, docker.--network: ignored on {platform}; "
        "use docker.run_args instead"
    )
    assert make(cube(docker="image: i, run_args: --no-home"), platform).warnings == ()
    assert make(text, "podman").warnings == ()
    own = "singularity: {image: x.sif, build_file: 'docker://i'}\n"
    assert make(text + own, platform).warnings == ()
    there = {"/c/Singularity.recipe": PathKind.FILE}
    assert make(text, platform, there=there).warnings == ()
