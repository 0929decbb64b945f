# SPDX-License-Identifier: Apache-2.0
"""A launch that arrives after its connection broke starts nothing in another run's workspace."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import Call, claim, connected, identify_process, launch, state
from tests.support.waiting import wait_for

GPU = "GPU-aaaa"
NVIDIA_SMI = f"""#!/bin/sh
case $* in *query-gpu*) echo '0, {GPU}' ;; esac
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def reclaimed(call: Call, job: Path, lock: Path) -> Path:
    """Return a claimed job whose client's connection is gone."""
    assert claim(call, job, lock).returncode == 0
    _forget_client(job)
    assert state(call, job) == "abandoned"
    return job


def test_the_workspace_is_still_the_jobs(call: Call, reclaimed: Path, lock: Path) -> None:
    # launch() claims again, which changes nothing: the job exists.
    done = launch(call, reclaimed, "true", claimed=(str(lock), "", ""))
    assert done.returncode == 0, done.stderr
    # A job that saw this one dead, and takes over from its first entry now, must fail.
    assert (lock / "after.j1").read_text() == "j1~1\n"
    assert (lock / "first").read_text() == "j1~1\n"
    wait_for(lambda: state(call, reclaimed) == "ended")
    assert claim(call, reclaimed.with_name("j2"), lock).returncode == 0
    assert (lock / "after.j1~1").read_text() == "j2\n"


def test_the_workspace_is_another_jobs(call: Call, reclaimed: Path, lock: Path) -> None:
    with connected(reclaimed.with_name("j2"), lock):
        wait_for((lock / "after.j1").exists)
        done = launch(call, reclaimed, "true", claimed=(str(lock), "", ""))
        assert done.returncode == 19
    assert not (reclaimed / "tasks").exists()


def test_the_workspace_was_another_jobs(call: Call, reclaimed: Path, lock: Path) -> None:
    with connected(reclaimed.with_name("j2"), lock):
        wait_for((lock / "after.j1").exists)
    done = launch(call, reclaimed, "true", claimed=(str(lock), "", ""))
    assert done.returncode == 19, "the other job may have changed what was prepared"
    assert not (reclaimed / "tasks").exists()


def test_the_workspace_went_to_a_job_of_the_same_run(call: Call, job: Path, lock: Path) -> None:
    mine = job.with_name("run1-a")
    mine.parent.mkdir()
    assert call("mlcr_claim_job", str(mine), "{}", str(lock), "run1").returncode == 0
    _forget_client(mine)
    with connected(job.with_name("run1-b"), lock, "run1"):
        wait_for((lock / "after.run1-a").exists)
        done = launch(call, mine, "true", claimed=(str(lock), "run1", ""))
        assert done.returncode == 0, done.stderr
    wait_for(lambda: state(call, mine) == "ended")


def test_a_shell_that_launches_outlives_its_connection(
    call: Call, reclaimed: Path, lock: Path
) -> None:
    """Or another run could get the workspace while large inputs are copied."""
    pid = os.getpid()
    launcher = reclaimed / f"launcher.{pid}"
    launcher.write_text(identify_process(pid))
    assert state(call, reclaimed) == "preparing"
    assert claim(call, reclaimed.with_name("j2"), lock).returncode == 16
    launcher.write_text(f"{identify_process(pid).split()[0]} {pid} 1 node\n")
    assert state(call, reclaimed) == "abandoned"


@pytest.mark.parametrize("is_taken", [False, True])
def test_gpus_are_leased_again(call: Call, tmp_path: Path, is_taken: bool) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "MLCR_PLACES": str(tmp_path / "no registry"),
    }
    mine, other = tmp_path / "jobs/j1", tmp_path / "jobs/j2"

    def lease(job: Path) -> int:
        claim(call, job)
        code = call("mlcr_lease_gpus", str(job), "1", "", **environment).returncode
        _forget_client(job)
        return code

    assert lease(mine) == 0
    if is_taken:
        assert lease(other) == 0
        (other / f"launcher.{os.getpid()}").write_text(identify_process(os.getpid()))
    words = quote_words(("", "", "", GPU))
    tasks = ("task", quote_words(["true"]), "true", "", "", "", "", "", "")
    done = call("mlcr_launch_job", str(mine), "true", "0", "", words, "0", *tasks, **environment)
    assert done.returncode == (19 if is_taken else 0), done.stderr


def _forget_client(job: Path) -> None:
    (job / "preparing").write_text(
        f"{identify_process(os.getpid()).split()[0]} 1 1 {platform.node()}\n"
    )
