# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from mlcube_remote.cube.host_paths import Layout, contains, host_path, missing_directories
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
def test_values_become_paths_on_the_host(value: str, expected: str) -> None:
    assert host_path(value, LAYOUT) == expected


def test_an_unknown_home_stays() -> None:
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
def test_paths_inside_a_directory(directory: str, path: str, *, expected: bool) -> None:
    assert contains(directory, path) is expected


def test_the_home_of_another_user_is_refused() -> None:
    with pytest.raises(PlanError, match="the home of another user is not supported"):
        host_path("~bob/x", LAYOUT)


def test_building_commands_imports_no_large_library() -> None:
    large = {"omegaconf", "paramiko", "fabric", "rich"}
    code = (
        "import sys, mlcube_remote.commands.build, mlcube_remote.commands.launch_options\n"
        f"print(sorted({large!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
