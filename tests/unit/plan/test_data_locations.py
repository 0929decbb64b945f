# SPDX-License-Identifier: Apache-2.0
"""Where the data of each parameter is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import LOCAL_HOST
from mlcube_remote.plan.host_paths import host_paths
from mlcube_remote.plan.placement import DataLocation, place_parameters
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import HOST, refused, request


def train(root: Path, **values: str) -> Cube:
    return load(root, tasks=["train"], task_args=values)


@pytest.mark.parametrize(
    ("value", "where", "seen_by_builder"),
    [
        ("data/x", DataLocation.WORKSPACE, "data/x"),
        ("../code.py", DataLocation.WORKSPACE, "../code.py"),
        ("${runtime.root}/code.py", DataLocation.WORKSPACE, "${runtime.root}/code.py"),
        ("/data/imagenet", DataLocation.HOST, "/data/imagenet"),
        ("~/x", DataLocation.HOST, "~/x"),
        ("$HOME/x", DataLocation.HOST, "$HOME/x"),
        ("remote:/data/x", DataLocation.HOST, "/data/x"),
        ("remote:~/x", DataLocation.HOST, "~/x"),
    ],
)
def test_a_value_determines_where_its_data_is(
    root: Path, value: str, where: DataLocation, seen_by_builder: str
) -> None:
    cube = train(root, config=value)
    placed = {
        item.parameter.name: item
        for item in place_parameters(cube.tasks["train"], cube, HOST, root="/r")
    }
    assert placed["config"].where is where
    assert placed["config"].parameter.value == seen_by_builder
    assert (placed["config"].local is None) == (where is DataLocation.HOST)


def test_data_of_this_machine_gets_a_directory_of_its_own_on_the_host(
    root: Path, tmp_path: Path
) -> None:
    cube = train(root, data=f"local:{tmp_path}/big data/")
    (item,) = (
        item
        for item in place_parameters(cube.tasks["train"], cube, HOST, root="/r")
        if item.parameter.name == "data"
    )
    assert item.where is DataLocation.CLIENT
    assert item.local == tmp_path / "big data"
    assert item.parameter.value.startswith("/r/data/big_data-")
    assert item.parameter.value.endswith("/big data/")
    here = place_parameters(cube.tasks["train"], cube, LOCAL_HOST, root="/r")[0]
    assert here.parameter.value == f"{tmp_path}/big data/"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("../../x", "leaves the cube's directory"),
        ("remote:x", "expected an absolute path after remote:"),
        ("local:", "expected a file or directory after local:"),
        ("local:/", "expected a file or directory after local:"),
    ],
)
def test_invalid_values_are_rejected(root: Path, value: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_jobs(request(root, "train", config=value))
    assert message in str(caught.value)
    assert "train.config" in str(caught.value)


def test_a_path_in_the_cube_has_a_path_in_the_mirror(root: Path) -> None:
    cube = load(root)
    paths = host_paths(HOST, cube, "job", root="/r", home="/h")
    assert paths.mirror(root / "workspace/x", cube) == f"{paths.cube}/workspace/x"
    assert paths.mirror(root / "code", cube) == f"{paths.cube}/code"
    with pytest.raises(ValueError, match="is not mirrored"):
        paths.mirror(Path("/etc"), cube)


@pytest.mark.parametrize("prefix", ["", "local:"])
def test_a_file_in_the_place_of_a_directory_is_rejected(root: Path, prefix: str) -> None:
    path = root / "workspace/conf.yaml"
    error = refused(request(root, "train", data=f"{prefix}{path}" if prefix else "conf.yaml/"))
    assert f"expected a directory, and {path} is a file" in str(error)
    assert "type: file" in str(error.hint)
