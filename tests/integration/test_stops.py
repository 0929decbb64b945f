# SPDX-License-Identifier: Apache-2.0
"""A stopped task gets SIGTERM once from each engine, and saves its work before it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import again, on
from tests.support.cubes import shell_task, write_cube
from tests.support.hosts import HostFactory
from tests.support.waiting import wait_for

TASK = shell_task(
    '(trap "echo child >>${0#*=}/signals; exit" TERM; touch "${0#*=}/up"; '
    "while :; do sleep 0.1; done) & "
    'trap "echo task >>${0#*=}/signals" TERM; '
    'until [ -e "${0#*=}/up" ]; do sleep 0.1; done; echo waiting; '
    'until [ -e "${0#*=}/signals" ]; do sleep 0.1; done; sleep 1; sleep 1; exit 3',
    outputs={"out": {"type": "directory", "default": "out/"}},
)


@pytest.mark.parametrize(
    ("kind", "signalled"),
    [("docker", ["task"]), ("podman", ["task"]), ("apptainer", ["child", "task"])],
)
def test_a_stopped_task_gets_the_signal_once(
    ssh_host: HostFactory, tmp_path: Path, kind: str, signalled: list[str]
) -> None:
    host = ssh_host(kind)
    cube = write_cube(tmp_path / "cube", {"wait": TASK})
    started = on(host, cube, "--task=wait", "--detach", "--output=json")
    assert started.returncode == 0, started.stderr.decode()
    run = str(json.loads(started.stdout)["run"])
    wait_for(lambda: b"waiting" in again("logs", run).stdout)
    stopped = again("stop", run)
    assert stopped.returncode == 0, stopped.stderr.decode()
    ended = again("attach", "--output=json", run)
    assert ended.returncode == 130
    (task,) = json.loads(ended.stdout)["jobs"][0]["tasks"]
    assert task["exit_code"] == 3, task
    assert sorted((cube / "workspace/out/signals").read_text().split()) == signalled
