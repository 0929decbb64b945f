# SPDX-License-Identifier: Apache-2.0
"""MLCube's own command with hosts of ours behind it: ``mlcube run --platform=remote``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support import reference
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

MLCube = Callable[..., "subprocess.CompletedProcess[str]"]

COPY = shell_task(
    'i=${0#*=}; o=${1#*=}; cat "$i"; cat "$i" >"$o"',
    inputs={"text": {**FILE, "default": "in.txt"}},
    outputs={"copy": {**FILE, "default": "out/copy.txt"}},
)
FAIL = shell_task('cat "${0#*=}"; exit 7', inputs={"made": {**FILE, "default": "out/copy.txt"}})


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "system-settings.yaml"


@pytest.fixture
def version() -> str:
    return reference.VERSIONS[0]


each_version = pytest.mark.parametrize("version", reference.VERSIONS)


@pytest.fixture
def mlcube(version: str, settings: Path, tmp_path: Path) -> MLCube:
    """Return a function that runs the real ``mlcube``."""
    program = reference.program()

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            cwd=tmp_path / "cube",
            env={
                **os.environ,
                "PYTHONPATH": reference.python_path(version),
                "MLCUBE_SYSTEM_SETTINGS": str(settings),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    folder = write_cube(tmp_path / "cube", {"copy": COPY, "fail": FAIL})
    (folder / "workspace" / "in.txt").write_text("hello\n")
    (folder / "workspace" / "other.txt").write_text("others\n")
    return folder


def at(host: SshHost) -> tuple[str, str, str]:
    return "--platform=remote", f"--host={host.name}", f"--inventory={host.inventory}"


@each_version
def test_mlcube_finds_this_package(mlcube: MLCube, cube: Path, settings: Path) -> None:
    output = mlcube("config", "--list")
    assert output.returncode == 0, output.stderr
    written = yaml.safe_load(settings.read_text())
    assert written["runners"]["remote"] == {"pkg": "mlcube_remote"}
    assert written["platforms"]["remote"] == {"runner": "remote", "host": None}


@each_version
def test_a_task_runs_on_a_host_and_its_outputs_come_home(
    ssh_host: HostFactory, mlcube: MLCube, cube: Path
) -> None:
    done = mlcube("run", *at(ssh_host()), "--task=copy", "text=other.txt", "--memory=64m")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "others\n"
    assert (cube / "workspace/out/copy.txt").read_text() == "others\n"


def test_several_tasks_are_one_run_that_ends_as_its_task_does(
    ssh_host: HostFactory, mlcube: MLCube, cube: Path
) -> None:
    done = mlcube("run", *at(ssh_host()), "--task=copy,fail", "text=other.txt")
    assert done.returncode == 7, done.stderr
    assert done.stdout == "others\nothers\n"
    assert done.stderr.count(": connect: done") == 1
    assert "Traceback" not in done.stderr


def test_a_platform_of_ones_own_names_its_host(
    ssh_host: HostFactory, mlcube: MLCube, cube: Path, settings: Path
) -> None:
    host = ssh_host()
    entry = {"runner": "remote", "host": host.name, "inventory": str(host.inventory)}
    settings.write_text(yaml.safe_dump({"platforms": {"rack": entry}}))
    done = mlcube("run", "--platform=rack", "--task=copy")
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/out/copy.txt").read_text() == "hello\n"


@each_version
def test_configure_makes_the_image_ready_there(
    ssh_host: HostFactory, mlcube: MLCube, cube: Path
) -> None:
    host = ssh_host()
    image = f"mlcube-remote-test-{os.getpid()}"
    (cube / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\nLABEL org.mlcommons.mlcube-remote.test=1\n"
    )
    write_cube(cube, {"copy": COPY}, docker={"image": image, "build_strategy": "auto"})
    try:
        done = mlcube("configure", "--platform=remote", f"-Prunner.host={host.name}", at(host)[2])
        assert done.returncode == 0, done.stderr
        assert f"{host.name}: configure: done" in done.stderr
    finally:
        docker("image", "rm", "--force", image)


MISTAKES = {
    ("run", "--platform=remote", "--task=copy"): "no host is named",
    ("run", "--platform=remote", "--task=copy", "--hots=x"): "No such option '--hots'",
    (
        "run",
        "--platform=remote",
        "--task=copy",
        "--host=local",
        "txet=x",
    ): "unknown parameter 'txet'",
    ("run", "--platform=misspelt", "--task=copy"): "platforms.misspelt.hots: unknown key",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes_are_reported_without_a_traceback(
    mlcube: MLCube, cube: Path, settings: Path, arguments: tuple[str, ...]
) -> None:
    settings.write_text("platforms: {misspelt: {runner: remote, host: local, hots: x}}")
    done = mlcube(*arguments)
    assert done.returncode == 2
    assert MISTAKES[arguments] in done.stderr
    assert "Traceback" not in done.stderr
