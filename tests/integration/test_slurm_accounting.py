# SPDX-License-Identifier: Apache-2.0
"""A Slurm cluster with accounting: its limits, and how jobs ended that it no longer knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import again, on, run
from tests.support.cubes import QUICKLY, shell_task, write_sif_cube
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

OUT = {"out": {"type": "file", "default": "out"}}
WAIT = "echo waiting; while :; do sleep 0.2; done"


@pytest.fixture(scope="module")
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("slurm-accounting")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cube that all tests share, so that its image is built once."""
    folder = tmp_path_factory.mktemp("accounting-cube") / "cube"
    how = {"how": {"type": "file", "default": "how.yaml"}}
    tasks = {"wait": shell_task(WAIT, inputs=how, outputs=OUT)}
    cube = write_sif_cube(folder, tasks)
    (cube / "workspace/how.yaml").write_text("n: 0\n")
    return cube


def with_slots(host: SshHost) -> Path:
    """Return an inventory that permits as many trials at the same time as the cluster has CPUs."""
    path = host.inventory.with_name("slots.yaml")
    path.write_text(host.inventory.read_text().replace("launcher:", "slots: 4\n    launcher:"))
    return path


def sh(host: SshHost, script: str) -> str:
    """Run shell text on the host as root, and return its output."""
    done = host.exec(["sh", "-c", script])
    assert done.exit_code == 0, done.output.decode()
    return done.output.decode().strip()


def start(inventory: Path, cube: Path, *options: str) -> str:
    """Start a task in the background and return the id of its run."""
    words = ("--task=wait", QUICKLY, "--detach", "--output=json", "--host=all", *options)
    done = run(inventory, cube, *words)
    assert done.returncode == 0, done.stderr.decode()
    return str(json.loads(done.stdout)["run"])


def count_running(host: SshHost, run_id: str) -> int:
    logs = host.home.glob(f".mlcube-remote/jobs/{run_id}-*/tasks/1/stdout")
    return sum(log.stat().st_size > 0 for log in logs)


def test_a_check_shows_the_account_and_all_limits(host: SshHost) -> None:
    inventory = host.inventory.with_name("account.yaml")
    text = host.inventory.read_text()
    done = again("hosts", "check", f"--inventory={host.inventory}", host.name)
    assert done.returncode == 0, done.stdout.decode()
    assert b"account    research\n" in done.stdout
    assert b"QOS normal: 4 running, 40 queued or running" in done.stdout
    assert b"QOS single: 1 running, 01:00:00 each" in done.stdout
    inventory.write_text(text.replace("launcher:", "slurm: {account: closed}\n    launcher:"))
    done = again("hosts", "check", f"--inventory={inventory}", host.name)
    assert done.returncode != 0
    assert b"closed: no such account, or not for you" in done.stdout
    assert b"choose one of: research" in done.stdout


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("account=closed", b"Invalid account or account/partition combination specified"),
        ("qos=unknown", b"Invalid qos specification"),
    ],
)
def test_what_the_user_may_not_use_is_refused_with_the_words_of_slurm(
    host: SshHost, cube: Path, option: str, words: bytes
) -> None:
    done = on(host, cube, "--task=wait", QUICKLY, f"--slurm={option}")
    assert done.returncode == 122
    assert b"Slurm refused the job: Batch job submission failed: " + words in done.stderr
    hint = next(line for line in done.stderr.decode().splitlines() if line.startswith("hint: "))
    assert f"mlcube-remote hosts check {host.name}" in hint
    assert not sh(host, "squeue -h")


def test_a_limit_is_the_reason_of_a_queued_job(host: SshHost, cube: Path) -> None:
    slots = with_slots(host)
    run_id = start(slots, cube, "--slurm=qos=single", "--sweep=how.n=1,2")
    wait_for(lambda: "QOSMaxJobsPerUserLimit" in sh(host, "squeue -h -o %r"), seconds=60)
    # The answer of squeue is shared, and may be older.
    (host.home / ".mlcube-remote/slurm-queue").unlink(missing_ok=True)
    listed = again("ps", f"--inventory={slots}", "--jobs").stdout
    assert b"queued (QOSMaxJobsPerUserLimit)" in listed
    assert again("stop", run_id).returncode == 0
    wait_for(lambda: not sh(host, "squeue -h"), seconds=60)


def test_the_accounting_says_how_jobs_ended_that_slurm_has_forgotten(
    host: SshHost, cube: Path
) -> None:
    slots = with_slots(host)
    run_id = start(slots, cube, "--sweep=how.n=1,2,3,4")
    wait_for(lambda: count_running(host, run_id) == 4, seconds=60)
    # Nothing can be written any more, as on a file system that is gone: no end is recorded.
    jobs = f"{host.home}/.mlcube-remote/jobs/{run_id}-*"
    places = " ".join(f"{jobs}{part}" for part in ("", "/slurm", "/tasks", "/tasks/1"))
    sh(host, f"chown root {places}")
    listing = sh(host, "squeue -h -o '%N %i' | sort").splitlines()
    late, cancelled, *failed = (line.split()[1] for line in listing)
    sh(host, "pkill -KILL -f '^/bin/sh /usr/local/sbin/sandbox-node node2'")
    try:
        sh(host, f"scancel {cancelled}; scontrol update JobId={late} EndTime=now+1")
        ends = f"sacct -n -X -P -j {late},{cancelled},{','.join(failed)} -o State"
        expected = ["CANCELLED by 0", "NODE_FAIL", "NODE_FAIL", "TIMEOUT"]
        wait_for(lambda: sorted(sh(host, ends).splitlines()) == expected, seconds=120)
        wait_for(lambda: not sh(host, "squeue -h"), seconds=60)
        # The new controller knows no jobs.
        sh(host, "scontrol shutdown slurmctld; while pgrep -x slurmctld; do sleep 0.1; done")
        sh(host, "slurmctld -c; until squeue; do sleep 0.1; done")
        assert not sh(host, "squeue -h -t all")
        sh(host, f"chown mlcube {places}")
        done = again("attach", run_id)
        shown = (done.stdout + done.stderr).decode()
        assert done.returncode != 0, shown
        listed = again("ps", f"--inventory={slots}", "--all", "--jobs").stdout.decode()
    finally:
        host.container.get_wrapped_container().exec_run(["sandbox-node", "node2"], detach=True)
    assert "reached the time limit of its Slurm job" in shown, shown
    assert "its Slurm job was cancelled by root" in shown, shown
    assert shown.count("its compute node failed") >= 2, shown
    assert "(Slurm: TIMEOUT)" in listed, listed
    assert listed.count("lost (Slurm: NODE_FAIL)") == 2, listed
