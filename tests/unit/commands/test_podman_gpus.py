# SPDX-License-Identifier: Apache-2.0
"""GPUs on Podman, also behind the name ``docker``, and beside a lease."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.commands.build import build_all
from mlcube_remote.commands.model import Options, Target, TaskCommands
from mlcube_remote.cube.load import load, select_tasks
from tests.support.task_commands import LAYOUT, ON_HOST

ALL = "--device=nvidia.com/gpu=all"


def made(
    root: Path,
    section: str,
    platform: str = "docker",
    gpus: str | None = None,
    *,
    is_podman: bool = False,
    has_lease: bool = False,
) -> TaskCommands:
    (root / "mlcube.yaml").write_text(f"docker: {{image: i, {section}}}\ntasks: {{go: }}\n")
    cube = load(root)
    target = Target(
        platform=platform,
        layout=LAYOUT,
        kind_of=ON_HOST.get,
        options=Options(gpus=gpus),
        docker_is_podman=is_podman,
        has_leased_gpus=has_lease,
    )
    (built,) = build_all(cube, select_tasks(cube, []), target).tasks
    return built


def options_of(built: TaskCommands) -> list[str]:
    argv = built.run[-1]
    return list(argv[built.launch_at : argv.index("i")])


@pytest.mark.parametrize(
    ("section", "gpus", "expected"),
    [
        ("", "2", ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"]),
        ("", "all", [ALL]),
        ("", '"device=0,3"', ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=3"]),
        ("gpu_args: --gpus=all", "1", ["--device=nvidia.com/gpu=0"]),
        ("gpu_args: --gpus all --ipc=private", "1", ["--ipc=private", "--device=nvidia.com/gpu=0"]),
        ("gpu_args: '--device nvidia.com/gpu=all'", "1", ["--device=nvidia.com/gpu=0"]),
        ("cpu_args: --gpus=all", None, [ALL]),
        ("cpu_args: --gpus all -m 4g", None, ["-m", "4g", ALL]),
        ("cpu_args: '--device nvidia.com/gpu=2'", None, ["--device", "nvidia.com/gpu=2"]),
        ("gpu_args: --gpus=all", None, []),
    ],
)
@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_podman_gets_no_option_that_it_ignores(
    tmp_path: Path, platform: str, section: str, gpus: str | None, expected: list[str]
) -> None:
    built = made(tmp_path, section, platform, gpus, is_podman=True)
    assert options_of(built) == expected
    assert len(built.warnings) == ("gpu_args" in section and gpus is not None)


def test_docker_gets_what_the_cube_says(tmp_path: Path) -> None:
    built = made(tmp_path, "gpu_args: --gpus=all", gpus="1")
    assert options_of(built) == ["--gpus=all", "--gpus=1"], "as from the reference"
    assert built.warnings == ()


def test_a_lease_is_not_defeated(tmp_path: Path) -> None:
    for section in ("gpu_args: --gpus=all", "gpu_args: '--device=nvidia.com/gpu=all'"):
        built = made(tmp_path, section, gpus="device=GPU-aa", has_lease=True)
        assert options_of(built) == ["--gpus=device=GPU-aa"]
        (warning,) = built.warnings
        assert "docker.gpu_args: --" in warning
        assert "is ignored" in warning
