# SPDX-License-Identifier: Apache-2.0
"""Tasks that work on copies on the disk of their compute node, on a Slurm cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import again, on
from tests.support.cubes import QUICKLY, shell_task, write_sif_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

SCRATCH = "--slurm=scratch=${TMPDIR}"
SETUP = "--slurm=setup=export TMPDIR=/var/tmp/node"
IN = {"in": {"type": "file", "default": "in.txt"}}
OUT = {"out": {"type": "directory", "default": "out/"}}
TASKS = {
    "make": shell_task(
        'grep -c /var/tmp/node/mlcube-remote- /proc/self/mountinfo; cat "${0#*=}" >"${1#*=}/made"',
        inputs=IN,
        outputs=OUT,
    ),
    "use": shell_task(
        'tr a-z A-Z <"${0#*=}/made" >"${1#*=}/used"; rm "${0#*=}/made"',
        inputs={"made": {"type": "directory", "default": "out/"}},
        outputs=OUT,
    ),
    "wait": shell_task(
        # If Slurm cancels a job, it signals all its processes, and Apptainer forwards that.
        'trap "trap : TERM; echo saved >>${0#*=}/state; exit 3" TERM; '
        'cat "${0#*=}/state" && exit 0; '
        "echo waiting; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done",
        outputs=OUT,
    ),
}


@pytest.fixture(scope="module")
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("slurm")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cube that all tests share, so that its image is built once."""
    cube = write_sif_cube(tmp_path_factory.mktemp("scratch-cube") / "cube", TASKS)
    (cube / "workspace/in.txt").write_text("words\n")
    return cube


def left(host: SshHost) -> str:
    """Return what is on the disk of the compute nodes."""
    return host.exec(["find", "/var/tmp/node", "-mindepth", "1"]).output.decode()


def start(host: SshHost, cube: Path, out: str, *options: str) -> str:
    """Start the task that waits, and return the id of its run once it waits."""
    options = (
        f"out={out}/",
        "--task=wait",
        QUICKLY,
        SCRATCH,
        SETUP,
        "--detach",
        "--output=json",
        *options,
    )
    done = on(host, cube, *options)
    assert done.returncode == 0, done.stderr.decode()
    run = str(json.loads(done.stdout)["run"])
    wait_for(lambda: b"waiting" in again("logs", run).stdout)
    return run


def test_tasks_work_on_the_disk_of_the_node(host: SshHost, cube: Path) -> None:
    done = on(host, cube, "--task=make", "--task=use", QUICKLY, SCRATCH, SETUP)
    assert done.returncode == 0, done.stderr.decode()
    assert b"2\n" in done.stdout, "two directories are mounted from there"
    assert (cube / "workspace/out/used").read_text() == "WORDS\n"
    assert not (cube / "workspace/out/made").exists()
    wait_for(lambda: not left(host))


def test_a_stopped_task_leaves_what_it_wrote(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "stopped")
    assert again("stop", run).returncode == 0
    assert again("attach", run).returncode == 130
    assert (cube / "workspace/stopped/state").read_text() == "saved\n"
    wait_for(lambda: not left(host))


def test_a_cancelled_task_leaves_what_it_wrote(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "cancelled")
    host.exec(["scancel", "--user=mlcube"])
    done = again("attach", run)
    assert done.returncode == 130, done.stderr.decode()
    assert (cube / "workspace/cancelled/state").read_text() == "saved\n"
    wait_for(lambda: not left(host))


def test_a_requeued_task_continues_with_what_it_wrote(host: SshHost, cube: Path) -> None:
    run = start(host, cube, "requeued", "--slurm=requeue=true", "--slurm=extra=--nodelist=node1")
    number = host.exec(["squeue", "-h", "-o", "%i"]).output.decode().strip()
    assert host.exec(["scontrol", "requeue", number]).exit_code == 0
    restart = (
        f'until [ "$(squeue -h -j {number} -o %T)" = PENDING ]; do :; done; '
        f"scontrol update JobId={number} StartTime=now NodeList=node2 ReqNodeList=node2"
    )
    host.exec(["timeout", "60", "sh", "-c", restart])
    done = again("attach", run)
    assert done.returncode == 0, done.stderr.decode()
    assert b"waiting\nsaved\n" in done.stdout
    wait_for(lambda: not left(host))


def test_a_place_that_the_node_does_not_have_is_an_error_in_words(
    host: SshHost, cube: Path
) -> None:
    done = on(host, cube, "--task=make", QUICKLY, "--slurm=scratch=$NO_SUCH_DISK/x")
    assert done.returncode == 1, done.stderr.decode()
    assert b"scratch: $NO_SUCH_DISK is not set on node" in done.stdout + done.stderr
