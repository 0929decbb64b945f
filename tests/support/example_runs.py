# SPDX-License-Identifier: Apache-2.0
"""Parts of tests that run cubes from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cubes import FILE, shell_task, write_cube

COPY = shell_task(
    'i=${0#*=}; o=${1#*=}; cat "$i"; cat "$i" >"$o"; echo "on $(hostname)" >&2',
    inputs={"text": {**FILE, "default": "in.txt"}},
    outputs={"copy": {**FILE, "default": "out/copy.txt"}},
)


WEIRD = [
    "spaces and  more",
    'quote\'s "both"',
    "$(touch pwned)",
    "new\nline",
    "-rf",
    "ünïcödé",
    "back\\slash",
    "*?[x]",
    "x" * 200,
]


@pytest.fixture
def copy_cube(tmp_path: Path) -> Path:
    cube = write_cube(tmp_path / "cube", {"copy": COPY})
    (cube / "workspace" / "in.txt").write_text("hello\n")
    return cube
