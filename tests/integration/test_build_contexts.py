# SPDX-License-Identifier: Apache-2.0
"""Published cubes keep their recipe in ``../project``, beside the directory of the cube."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import on
from tests.support.cubes import FILE, write_cube
from tests.support.hosts import HostFactory

IMAGE = "mlcube-remote-test/beside:1"


@pytest.fixture
def cube(tmp_path: Path) -> Iterator[Path]:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "Dockerfile").write_text(
        f'FROM {BASE_IMAGE}\nCOPY . /project\nENTRYPOINT ["sh", "/project/task.sh"]\n'
    )
    (project / "task.sh").write_text('cd /project; ls -A >"${2#*=}"; echo "$1"\n')
    (project / "data" / "big").write_text("not sent\n")
    (project / ".env").write_text("TOKEN=not sent\n")
    (project / ".dockerignore").write_text("# not for the image\ndata/\n")
    tasks = {"list": {"parameters": {"outputs": {"names": {**FILE, "default": "names.txt"}}}}}
    section = {"image": IMAGE, "build_context": "../project", "build_strategy": "always"}
    yield write_cube(tmp_path / "mlcube", tasks, docker=section)
    docker("rmi", "--force", IMAGE)


def trust(cube: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlcube_remote", "trust", *arguments, str(cube)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ.copy(),
    )


def test_a_recipe_next_to_the_cube_is_built_on_the_host_once_it_is_trusted(
    cube: Path, ssh_host: HostFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    host = ssh_host("docker", private=True)
    pulled = on(host, cube, "--task=list")
    assert pulled.returncode == 122, "there is no such image in a registry"
    assert b"mlcube-remote trust" in pulled.stderr
    assert not list(host.home.glob(".mlcube-remote/data/*")), "nothing of it was sent"

    listed = trust(cube, "--yes")
    assert "docker.build_context: an image build from ../project" in listed.stdout
    assert "which is sent to the host (" in listed.stdout

    done = on(host, cube, "--task=list")
    assert done.returncode == 0, done.stderr.decode()
    names = (cube / "workspace" / "names.txt").read_text().split()
    assert sorted(names) == [".dockerignore", "Dockerfile", "task.sh"]
    assert [path.name for path in host.home.rglob("big")] == []
    assert [path.name for path in host.home.rglob(".env")] == []

    (cube.parent / "project" / "task.sh").unlink()
    (cube.parent / "project" / "task.sh").write_text('echo new >"${2#*=}"\n')
    assert on(host, cube, "--task=list").returncode == 0
    assert (cube / "workspace" / "names.txt").read_text() == "new\n"
