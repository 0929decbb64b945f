# SPDX-License-Identifier: Apache-2.0
"""Run the command line as a user does, and look at what it left on hosts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.hosts import SshHost

Completed = subprocess.CompletedProcess[bytes]


def command(inventory: Path, cube: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mlcube_remote", "run", "--inventory", str(inventory)),
        *(f"--mlcube={cube}", *arguments),
    ]


def run(inventory: Path, cube: Path, *arguments: str, **environment: str) -> Completed:
    return subprocess.run(
        command(inventory, cube, *arguments),
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def on(host: SshHost, cube: Path, *arguments: str, **environment: str) -> Completed:
    return run(host.inventory, cube, f"--host={host.name}", *arguments, **environment)


def again(command: str, *arguments: str) -> Completed:
    """Run a command on an earlier run, whose record names its inventory."""
    return subprocess.run(
        [sys.executable, "-m", "mlcube_remote", command, *arguments],
        capture_output=True,
        check=False,
        timeout=120,
    )


def mirror(host: SshHost) -> Path:
    """Return the one cube that the host mirrors."""
    (found,) = host.home.glob(".mlcube-remote/cubes/*")
    return found
