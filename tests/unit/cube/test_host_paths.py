# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from mlcube_remote.commands.model import Layout
from mlcube_remote.cube.host_paths import holds, host_path, missing_directories
from mlcube_remote.errors import PlanError

LAYOUT = Layout(root="/c", workspace="/w", home="/h", environ={"DATA": "/d"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "/w/x"),
        ("", "/w"),
        ("~", "/h"),
        ("~/x", "/h/x"),
        ("x/~", "/w/x/~"),
        ("$DATA/x", "/d/x"),
        ("${DATA}/x", "/d/x"),
        ("$NONE/x", "/w/$NONE/x"),
        ("${runtime.workspace}/x", "/w/x"),
        ("${runtime.root}/x", "/c/x"),
        ("../x", "/w/../x"),
    ],
)
def test_paths_are_those_of_the_host(value: str, expected: str) -> None:
    assert host_path(value, LAYOUT) == expected


def test_home_that_is_not_yet_known_stays() -> None:
    layout = Layout(root="~/r", workspace="~/r/workspace", home="~")
    assert host_path("~/x//y", layout) == "~/x/y"
    assert host_path("${runtime.root}/x", layout) == "~/r/x"
    assert host_path("x", layout) == "~/r/workspace/x"
    assert missing_directories(["~/r/x", "/d"], lambda _: None) == ("/d", "~/r", "~/r/x")


@pytest.mark.parametrize(
    ("directory", "path", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b/..", True),
        ("/a", "/ab", False),
        ("/", "/a", True),
        ("/a", "~/a", False),
        ("~/a", "/a", False),
    ],
)
def test_what_a_directory_holds(directory: str, path: str, *, expected: bool) -> None:
    assert holds(directory, path) is expected


def test_home_of_somebody_else_is_refused() -> None:
    with pytest.raises(PlanError, match="homes of other users"):
        host_path("~bob/x", LAYOUT)


def test_builder_imports_nothing_heavy() -> None:
    heavy = {"omegaconf", "paramiko", "fabric", "rich"}
    code = (
        "import sys, mlcube_remote.commands.build, mlcube_remote.commands.launch_options\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
