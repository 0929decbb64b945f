# SPDX-License-Identifier: Apache-2.0
"""A rootless Docker of the user, which the user's client finds by a Docker context."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import on
from tests.support.cubes import shell_task, write_cube
from tests.support.hosts import HostFactory

MAKE = 'id -u; echo made >"${0#*=}/a"; chown 5:5 "${0#*=}/a"; chmod 600 "${0#*=}/a"'


def test_a_task_runs_and_limits_are_not_dropped(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("rootless")
    root = write_cube(tmp_path / "cube", {"make": shell_task(MAKE, outputs={"data": "data/"})})
    done = on(host, root, "--task=make")
    assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr
    assert (root / "workspace/data/a").read_text() == "made\n", "uid 5 of the container made it"
    limited = on(host, root, "--task=make", "--memory=64m")
    assert limited.returncode == 122, "there is no cgroup v2 for the user"
    assert b"--memory=64m cannot be applied: docker cannot limit tasks" in limited.stderr
