# SPDX-License-Identifier: Apache-2.0
"""Copies of the repository's files without what runs left among them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def copy_tracked(source: Path, target: Path) -> None:
    """Copy a folder; of a git checkout, only what git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        cwd=source,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:  # no checkout: an unpacked archive, where nothing has run
        shutil.copytree(source, target)
        return
    for name in listed.stdout.decode().split("\0")[:-1]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)
