# SPDX-License-Identifier: Apache-2.0
"""Settings from all sources become options."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcube_remote.commands.model import Options
from tests.support.task_commands import Make, cube

SETTINGS: list[Any] = [
    # docker section, arguments of make, expected command
    pytest.param("image: i", {}, "docker run i go", id="plain"),
    pytest.param("image: i, docker: sudo docker", {}, "sudo docker run i go", id="executable"),
    pytest.param(
        "image: i, cpu_args: --shm-size=2g --ulimit 'x=1 2'",
        {},
        "docker run --shm-size=2g --ulimit 'x=1 2' i go",
        id="cpu_args are split as in a shell",
    ),
    pytest.param(
        "image: i, gpu_args: --gpus all, cpu_args: --init",
        {"options": Options(gpus="2")},
        "docker run --gpus all --gpus=2 i go",
        id="gpu_args with --gpus",
    ),
    pytest.param(
        "image: i, gpu_args: --gpus all, cpu_args: --init",
        {"options": Options(gpus="")},
        "docker run --init i go",
        id="cpu_args with empty --gpus",
    ),
    pytest.param(
        "image: i, gpu_args: --init",
        {"overrides": ("platform.accelerator_count=2",)},
        "docker run --init --gpus=2 i go",
        id="accelerator_count requests devices",
    ),
    pytest.param(
        "image: i",
        {"overrides": ("platform.accelerator_count=2",), "options": Options(gpus="0")},
        "docker run i go",
        id="--gpus overrides accelerator_count",
    ),
    pytest.param(
        "image: i, env_args: {A: 1, B: two words, C: }",
        {},
        "docker run -e A=1 -e 'B=two words' -e C= i go",
        id="env_args do not split values",
    ),
    pytest.param("image: i, env_args: -e A=1", {}, "docker run -e A=1 i go", id="env_args as text"),
    pytest.param(
        "image: i, env_args: {A: 1}",
        {"host": {"docker": {"env_args": {"A": 0, "B": 2}}}},
        "docker run -e A=1 -e B=2 i go",
        id="mlcube.yaml overrides the host",
    ),
    pytest.param(
        "image: i, cpu_args: --init",
        {"overrides": ("docker.cpu_args=--rm",), "host": {"docker": {"cpu_args": "--x"}}},
        "docker run --rm i go",
        id="-P overrides mlcube.yaml",
    ),
    pytest.param(
        "image: i, --memory: 1g",
        {"options": Options(memory="2g"), "overrides": ("docker.--memory=3g",)},
        "docker run --memory=2g i go",
        id="options override -P",
    ),
    pytest.param(
        "image: i",
        {"options": Options(memory="2g"), "overrides": ("runner.--memory=3g",)},
        "docker run --memory=3g i go",
        id="-P runner overrides all",
    ),
    pytest.param(
        "image: i",
        {"options": Options(network="none", security="x y", memory="4g", cpu="0-1")},
        "docker run --network=none '--security-opt=x y' --memory=4g --cpuset-cpus=0-1 i go",
        id="limits",
    ),
    pytest.param(
        "image: i", {"platform": "podman"}, "podman run i go", id="podman runs a docker cube"
    ),
    pytest.param(
        "image: i, docker: sudo docker",
        {"platform": "podman", "host": {"podman": {"podman": "/opt/bin/podman"}}},
        "/opt/bin/podman run i go",
        id="podman has its own executable",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="2")},
        "podman run --device=nvidia.com/gpu=0 --device=nvidia.com/gpu=1 i go",
        id="podman gets a number of devices through CDI",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="device=1,3")},
        "podman run --device=nvidia.com/gpu=1 --device=nvidia.com/gpu=3 i go",
        id="podman gets named devices through CDI",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="all")},
        "podman run --device=nvidia.com/gpu=all i go",
        id="podman gets all devices",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "host": {"podman": {"--userns": "keep-id"}}},
        "podman run --userns=keep-id i go",
        id="podman userns",
    ),
]


@pytest.mark.parametrize(("docker", "how", "expected"), SETTINGS)
def test_settings_become_options(
    make: Make, docker: str, how: dict[str, Any], expected: str
) -> None:
    assert make(cube(docker=docker), **how).run == (tuple(shlex.split(expected)),)


def test_an_override_without_effect_is_a_warning(make: Make) -> None:
    made = make(cube(), "podman", overrides=("docker.docker=sudo docker",))
    assert made.warnings == ("-P docker.docker has no effect on podman",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_a_variable_is_one_argument(make: Make, value: str) -> None:
    run = make(cube(), host={"docker": {"env_args": {"NAME": value}}}).run[-1]
    assert run == ("docker", "run", "-e", f"NAME={value}", "repo/image:1", "go")
