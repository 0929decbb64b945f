# SPDX-License-Identifier: Apache-2.0
"""A working directory for commands."""

from __future__ import annotations

from pathlib import Path

import pytest

CUBE = """
name: c
description: A cube.
docker: {image: example/x}
tasks:
  one: {parameters: {inputs: {a: {type: file, default: a.txt}}, outputs: {o: o/}}}
  two: {parameters: {}}
"""


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a working directory without a cube or an inventory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cube_directory(empty_directory: Path) -> Path:
    """Provide a working directory with a cube and two hosts that refuse connections."""
    (empty_directory / "mlcube.yaml").write_text("name: x\ndocker: {image: x}\ntasks: {t: {}}\n")
    (empty_directory / "workspace").mkdir()
    (empty_directory / "hosts.yaml").write_text(
        "hosts: {a: {address: 127.0.0.1, port: 1}, b: {address: 127.0.0.1, port: 1}}\n"
        "groups: {both: [a, b]}\n"
    )
    return empty_directory


@pytest.fixture
def cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a working directory with a cube of two tasks."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/a.txt").write_text("x")
    (tmp_path / "mlcube.yaml").write_text(CUBE)
    monkeypatch.chdir(tmp_path)
    return tmp_path
