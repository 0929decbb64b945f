# SPDX-License-Identifier: Apache-2.0
"""Sweeps on real hosts: their pools of hosts, their commands and their results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.support.hosts import SshHost

Pool = Callable[..., Path]


@pytest.fixture
def pool(inventory_of: Callable[..., Path]) -> Pool:
    """Return what writes an inventory of hosts that take several jobs at once."""

    def write(*hosts: SshHost, slots: int = 2) -> Path:
        path = inventory_of(*hosts)
        inventory = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({"defaults": {"slots": slots}, **inventory}))
        return path

    return write


def results(cube: Path) -> Path:
    (found,) = (cube / "results").iterdir()
    return found


def jobs(done: Any) -> list[Any]:
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return list(document["jobs"])


def call(inventory: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "mlcube_remote", name, *arguments]
    if name != "rerun":
        argv.append(f"--inventory={inventory}")
    return subprocess.run(argv, capture_output=True, check=False, timeout=90)
