# SPDX-License-Identifier: Apache-2.0
"""Machines that lack certain programs, for the scripts that set machines up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


class Machine:
    """Programs in a folder that is the whole PATH; each records how it was called."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.touch()
        for name in ("tr", "tail", "sleep", "env", "true"):
            (self.bin / name).symlink_to(f"/usr/bin/{name}")
        (self.bin / "sh").symlink_to("/bin/sh")

    def has(self, name: str, script: str = "exit 0") -> Machine:
        program = self.bin / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{script}\n')
        program.chmod(0o755)
        return self

    def run(self, script: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        # Search only this PATH, not the /usr/sbin of the machine that runs the tests.
        text = script.read_text().replace("$PATH:/usr/sbin:/sbin", "$PATH")
        text = text.replace("/var/log/", f"{self.bin.parent}/")
        return subprocess.run(
            ["/bin/sh", "-s", "--", *arguments],
            input=text,
            env={**env, "PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
