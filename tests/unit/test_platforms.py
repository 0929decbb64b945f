# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.platforms import PLATFORMS, SETTINGS, Setting, check_setting

DOC = (Path(__file__).parents[2] / "docs/reference/platforms.md").read_text(encoding="utf-8")


def section(platform: str) -> str:
    """Return the part of the page under the platform's heading."""
    _, _, rest = DOC.partition(f"\n## {platform.capitalize()}\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize(
    ("platform", "setting"),
    [
        pytest.param(platform, setting, id=f"{platform}.{setting.name}")
        for platform in PLATFORMS
        for setting in SETTINGS[platform].values()
    ],
)
def test_every_setting_is_documented_with_its_default(platform: str, setting: Setting) -> None:
    default = "none" if setting.default is None else f"`{setting.default}`"
    assert f"| `{setting.name}` | {default} | {setting.doc}" in section(platform)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_other_setting_is_documented(platform: str) -> None:
    assert re.findall(r"^\| `([^`]+)` \| ", section(platform), re.MULTILINE) == [
        *SETTINGS[platform]
    ]


GOOD: list[Any] = [
    ("docker", "image", "x"),
    ("docker", "image", None),
    ("docker", "env_args", {"A": 1, "B": None, "C": "x", "D": True, "E": 1.5}),
    ("docker", "env_args", "-e A=1"),
    ("docker", "--memory", 4),
    ("docker", "--memory", "4g"),
    ("docker", "build_strategy", "auto"),
    ("singularity", "--nv", True),
    ("singularity", "--nv", ""),
    ("podman", "selinux", "z"),
]


@pytest.mark.parametrize(("platform", "key", "value"), GOOD)
def test_valid_values_pass(platform: str, key: str, value: Any) -> None:
    assert check_setting(platform, key, value) is None


WRONG: list[Any] = [
    ("docker", "image", 5, "expected text, got 5"),
    ("docker", "image", "a\0", "expected text, got a value with a NUL character"),
    ("docker", "cpu_args", ["--x"], "split into words as in a shell, got a list"),
    ("docker", "cpu_args", {}, "got a mapping"),
    ("docker", "--memory", True, "expected text or a number, got true"),
    ("docker", "--memory", False, "expected text or a number, got false"),
    ("docker", "build_strategy", "never", "expected one of pull, auto, always, got 'never'"),
    ("docker", "build_strategy", ["pull"], "expected one of pull, auto, always, got a list"),
    ("docker", "env_args", {"A": []}, "expected text or a number for A, got a list"),
    ("docker", "env_args", {"A=B": "x"}, "expected names without '=', got 'A=B'"),
    ("docker", "env_args", {5: "x"}, "expected names without '=', got 5"),
    ("docker", "env_args", {"A": "\0"}, "expected text for A, got a value with a NUL character"),
    ("singularity", "--nv", 5, "expected true or false, got 5"),
]


@pytest.mark.parametrize(("platform", "key", "value", "problem"), WRONG)
def test_wrong_values_are_explained(platform: str, key: str, value: Any, problem: str) -> None:
    assert problem in str(check_setting(platform, key, value))
