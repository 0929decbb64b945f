# SPDX-License-Identifier: Apache-2.0
"""A docker on the host's PATH that hangs before it has a container."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import on
from tests.support.cubes import shell_task, write_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

HANG = """#!/bin/sh
# Hangs, also if it is asked to stop; with its own children.
case $1 in {when})
    trap '' TERM INT HUP
    sleep 3600 & sleep 3601 & sleep 3602
    while :; do sleep 1; done ;;
esac
exec {docker} "$@"
"""
LATE = """#!/bin/sh
# The client dies, and the engine makes the container all the same.
case $1 in run)
    (setsid sh -c 'sleep 25; exec {docker} "$@"' sh "$@" >/dev/null 2>&1 </dev/null &)
    exec sleep 3600 ;;
esac
exec {docker} "$@"
"""


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("docker", private=True)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    task = shell_task("echo it runs; sleep 60", outputs={"out": "out/"})
    quick = shell_task("echo done", outputs={"out": "out/"})
    return write_cube(tmp_path / "cube", {"hang": task, "next": quick})


def replace_docker(host: SshHost, text: str, **words: str) -> None:
    docker = host.exec(["sh", "-c", "command -v docker"]).output.decode().strip()
    kept = f"{docker}.kept"
    host.exec(["mv", docker, kept])
    script = text.format(docker=kept, **words)
    host.exec(["sh", "-c", f"printf '%s' \"$0\" >{docker}; chmod 755 {docker}", script])


def restore_docker(host: SshHost) -> None:
    docker = host.exec(["sh", "-c", "command -v docker"]).output.decode().strip()
    host.exec(["mv", "-f", f"{docker}.kept", docker])


@pytest.mark.parametrize("when", ["run", "run | inspect"])
def test_the_time_limit_holds_and_the_workspace_is_free(
    host: SshHost, cube: Path, when: str
) -> None:
    replace_docker(host, HANG, when=when)
    began = time.monotonic()
    done = on(host, cube, "--task=hang", "--timeout=5s")
    assert time.monotonic() - began < 45
    assert done.returncode == 124, done.stderr
    assert b"reached its time limit of 5 s: docker hung" in done.stderr
    assert b"docker run " not in host.exec(["ps", "-ef"]).output
    restore_docker(host)
    after = on(host, cube, "--task=next")
    assert after.returncode == 0, after.stderr
    assert after.stdout == b"done\n"


def test_a_container_that_comes_late_is_removed(host: SshHost, cube: Path) -> None:
    replace_docker(host, LATE)
    done = on(host, cube, "--task=hang", "--timeout=5s")
    assert done.returncode == 124, done.stderr
    assert host.tasks("--all") == []
    wait_for(lambda: host.tasks("--all"), seconds=60)
    wait_for(lambda: not host.tasks("--all"), seconds=60)
