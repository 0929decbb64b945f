# SPDX-License-Identifier: Apache-2.0
"""An edited program runs only after its image was built again; until then, each run says so."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import on
from tests.support.cubes import write_cube
from tests.support.hosts import HostFactory

IMAGE = "mlcube-remote-test/older:1"


@pytest.fixture
def cube(tmp_path: Path) -> Iterator[Path]:
    section = {"image": IMAGE, "build_context": ".", "build_strategy": "auto"}
    cube = write_cube(tmp_path / "cube", {"say": {}}, docker=section)
    (cube / "Dockerfile").write_text(
        f'FROM {BASE_IMAGE}\nCOPY say.sh /\nENTRYPOINT ["sh", "/say.sh"]\n'
    )
    (cube / "say.sh").write_text("echo first\n")
    yield cube
    docker("rmi", "--force", IMAGE)


@pytest.mark.parametrize("on_engine", ["docker", "podman"])
def test_the_command_of_the_warning_builds_the_image_again(
    cube: Path, ssh_host: HostFactory, on_engine: str
) -> None:
    host = ssh_host(on_engine)
    first = on(host, cube, "--task=say")
    assert (first.returncode, first.stdout.splitlines()[-1]) == (0, b"first"), first.stderr.decode()
    assert b"warning" not in first.stderr

    (cube / "say.sh").write_text("echo second\n")
    for _ in range(2):
        old = on(host, cube, "--task=say")
        assert (old.returncode, old.stdout) == (0, b"first\n"), old.stderr.decode()
        (line,) = (each for each in old.stderr.decode().splitlines() if "warning" in each)
        assert "was built from another version of the cube's files" in line

    command = shlex.split(line.partition("to build it again: ")[2])
    assert command[0] == "mlcube-remote"
    program = [sys.executable, "-m", "mlcube_remote", *command[1:], "--inventory"]
    subprocess.run([*program, str(host.inventory)], check=True, capture_output=True, timeout=120)
    new = on(host, cube, "--task=say")
    assert (new.returncode, new.stdout) == (0, b"second\n"), new.stderr.decode()
    assert b"warning" not in new.stderr
