# SPDX-License-Identifier: Apache-2.0
"""A cube of one task that writes a file, and its run on a host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.sandbox.engine import BASE_IMAGE

if TYPE_CHECKING:
    from tests.support.hosts import SshHost

Completed = subprocess.CompletedProcess[str]


def mlcube_remote(*arguments: str) -> Completed:
    return subprocess.run(
        [sys.executable, "-m", "mlcube_remote", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run(host: SshHost, cube: Path, *arguments: str) -> Completed:
    return mlcube_remote(
        *("run", f"--inventory={host.inventory}", f"--host={host.name}", f"--mlcube={cube}"),
        *("--task=make", *arguments),
    )


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = tmp_path / "cube"
    (root / "workspace/out").mkdir(parents=True)
    (root / "workspace/out/mine.txt").write_text("mine")
    (root / "workspace/notes.txt").write_text("notes")
    task = {
        "entrypoint": "/bin/sh -c 'echo made >/mlcube_io0/new.txt'",
        "parameters": {"outputs": {"out": "out/"}},
    }
    described = {"name": "probe", "docker": {"image": BASE_IMAGE}, "tasks": {"make": task}}
    (root / "mlcube.yaml").write_text(yaml.safe_dump(described))
    return root
