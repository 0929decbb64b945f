# SPDX-License-Identifier: Apache-2.0
"""Hosts on which the name ``docker`` leads to Podman: a link, or the script of Debian's package."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import command, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

LINK = "ln -sf /usr/bin/podman /usr/local/bin/docker"
SCRIPT = """cat >/usr/local/bin/docker <<'END'
#!/bin/sh
echo 'Emulate Docker CLI using podman.' >&2
exec /usr/bin/podman "$@"
END
chmod 755 /usr/local/bin/docker"""
GPUS = ("GPU-aaaaaaaa", "GPU-bbbbbbbb")
NVIDIA_SMI = rf"""cat >/usr/local/bin/nvidia-smi <<'END'
#!/bin/sh
case $1 in
*index,uuid*) printf '0, {GPUS[0]}\n1, {GPUS[1]}\n' ;;
*compute-apps*) echo {GPUS[0]} ;;
esac
END
chmod 755 /usr/local/bin/nvidia-smi"""


@pytest.fixture(scope="module")
def podman(ssh_host: HostFactory) -> SshHost:
    return ssh_host("podman", private=True)


@pytest.fixture(params=[LINK, SCRIPT], ids=["link", "script"])
def host(podman: SshHost, request: pytest.FixtureRequest) -> Iterator[SshHost]:
    podman.exec(["rm", "-f", "/usr/local/bin/docker"])
    assert podman.exec(["sh", "-c", request.param]).exit_code == 0
    yield podman
    podman.exec(["rm", "-f", "/usr/local/bin/docker", "/usr/local/bin/nvidia-smi"])


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    task = shell_task('echo made >"${0#*=}/made"', outputs={"out": "out/"})
    return write_cube(tmp_path / "cube", {"make": task})


def test_a_task_without_gpus_runs(host: SshHost, cube: Path) -> None:
    done = on(host, cube, "--platform=docker")
    assert done.returncode == 0, done.stderr.decode()
    assert (cube / "workspace/out/made").read_text() == "made\n"


def test_gpus_are_not_ignored(host: SshHost, cube: Path) -> None:
    for options in (("--gpus=1",), ("--gpus=all",), ("-Pdocker.cpu_args=--gpus=all",)):
        done = on(host, cube, "--platform=docker", *options)
        assert done.returncode == 122, done.stderr.decode()
        assert b"nvidia.com/gpu=" in done.stderr, "Podman says that it has no such device"
        assert not (cube / "workspace/out/made").exists()


def test_a_lease_is_for_the_device_that_podman_gets(host: SshHost, cube: Path) -> None:
    assert host.exec(["sh", "-c", NVIDIA_SMI]).exit_code == 0
    own = "-Pdocker.gpu_args=--gpus=all"
    done = on(host, cube, "--platform=docker", "--gpus=1", own)
    assert done.returncode == 122, done.stderr.decode()
    assert b"GPU 1 for this job" in done.stderr, "the other one is busy"
    assert b"docker.gpu_args: --gpus=all is ignored" in done.stderr
    assert b"nvidia.com/gpu=1" in done.stderr
    assert b"nvidia.com/gpu=all" not in done.stderr


def test_a_check_says_what_docker_is(host: SshHost, cube: Path) -> None:
    check = [*command(host.inventory, cube)[:3], "hosts", "check", host.name]
    done = subprocess.run(
        [*check, f"--inventory={host.inventory}", "--platform=docker"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"behind the name docker" in done.stdout, done.stdout.decode() + done.stderr.decode()
    assert b"podman 4" in done.stdout
