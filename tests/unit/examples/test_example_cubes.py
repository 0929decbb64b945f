# SPDX-License-Identifier: Apache-2.0
"""Every example is a complete cube: what its mlcube.yaml names is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[3] / "examples"
CUBES = sorted(path.parent for path in EXAMPLES.glob("*/mlcube.yaml"))


@pytest.fixture(params=CUBES, ids=lambda cube: cube.name)
def cube(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def content(cube: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((cube / "mlcube.yaml").read_text())
    return read


def test_all_five_examples_are_found() -> None:
    assert [cube.name for cube in CUBES] == [
        "emdenoise",
        "hello_world",
        "matmul",
        "mnist",
        "vision_selection",
    ]


def test_example_is_named_like_its_folder_and_explained(
    cube: Path, content: dict[str, Any]
) -> None:
    assert content["name"] == cube.name
    assert cube.name in (cube / "README.md").read_text()


def test_recipes_for_both_kinds_of_engine_are_there(cube: Path, content: dict[str, Any]) -> None:
    docker, singularity = content["docker"], content["singularity"]
    assert (cube / docker["build_context"] / docker["build_file"]).is_file()
    assert (cube / singularity["build_file"]).is_file()
    tag = docker["image"].removeprefix("mlcube-remote/").replace(":", "-")
    assert singularity["image"] == f"{tag}.sif"


def test_recipes_name_only_files_of_the_project(cube: Path) -> None:
    project = cube / "project"
    (definition,) = project.glob("*.def")
    programs = sorted(path.name for path in project.glob("*.py")) or ["hello_world.sh"]
    dockerfile = (project / "Dockerfile").read_text().splitlines()
    (copied,) = (line.split()[1:-1] for line in dockerfile if line.startswith("COPY "))
    assert sorted(copied) == programs
    for program in programs:
        assert f"    project/{program} /opt/mlcube/{program}\n" in definition.read_text()


def test_inputs_are_in_the_workspace_or_made_by_an_earlier_task(
    cube: Path, content: dict[str, Any]
) -> None:
    made: set[str] = set()
    for task in content["tasks"].values():
        for name, parameter in task["parameters"]["inputs"].items():
            value = parameter["default"]
            assert value in made or (cube / "workspace" / value).is_file(), name
        made |= {parameter["default"] for parameter in task["parameters"]["outputs"].values()}
    assert made


def test_python_examples_share_their_first_layers() -> None:
    def start(cube: Path) -> str:
        return (cube / "project/Dockerfile").read_text().split("\n\n")[1]

    assert len({start(cube) for cube in CUBES if cube.name != "hello_world"}) == 1
