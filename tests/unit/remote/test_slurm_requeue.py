# SPDX-License-Identifier: Apache-2.0
"""Slurm may start a job again: that is no end, and the next start continues."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mlcube_remote.remote import slurm_scheduler
from mlcube_remote.transport.quoting import quote_words
from tests.support.fake_slurm import FakeSlurm, start
from tests.support.shell_library import SHELLS, Call, state, task_report
from tests.support.waiting import wait_for

TASK = """
trap 'echo saved; exit 0' TERM
read -r done <"$HOME/saved" || done=0
echo "from $done with $TOKEN"
[ $done = 0 ] || exit 0
echo 5 >"$HOME/saved"
echo ready
sleep 30 & wait
"""


def answer(slurm: FakeSlurm, text: str, code: int = 0) -> None:
    """Let scontrol say this about a job."""
    program = slurm.folder / "scontrol"
    program.write_text(f"#!/bin/sh\necho '{text}'\nexit {code}\n")
    program.chmod(0o755)


def terminate(slurm: FakeSlurm, line: str) -> None:
    """Send SIGTERM to all processes of the batch job, and wait for its end."""
    slurm.queue(f"7|{line}")
    pid = int((slurm.folder / "pid.7").read_text())
    os.killpg(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def run_again(job: Path, restart: int) -> None:
    subprocess.run(
        ["sh", job / "slurm/batch", job],
        check=True,
        timeout=60,
        env={**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(restart)},
    )


@pytest.fixture
def running(
    call: Call, job: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Start a job that may be requeued, and wait until its task has saved something."""
    monkeypatch.setenv("TOKEN", "a secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert start(call, job, TASK, "echo second", variables="TOKEN", requeue=True).returncode == 0
    wait_for(lambda: "ready" in (job / "tasks/1/stdout").read_text())


@pytest.mark.usefixtures("running")
def test_a_requeued_job_waits_again_and_continues_its_log(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    answer(slurm, "JobId=7 JobState=COMPLETING PreemptTime=None Restarts=1 Requeue=1")
    told_at = int(time.time())
    terminate(slurm, "PENDING|mlcr-j1|1:00:00|BeginTime")
    assert int(time.time()) >= told_at + 2, "a node refuses a start in the second of the end"
    assert task_report(call, job)["exit"] == "pending", "it saved, and did not end"
    # As if time had passed since then.
    (job / "slurm/began").write_text("1\n")
    assert state(call, job) == "queued"
    assert task_report(call, job)["queued"] == "BeginTime"
    (job.parent.parent / "slurm-queue").unlink()
    slurm.queue("7|RUNNING|mlcr-j1|1:00:00|None")
    run_again(job, 1)
    assert state(call, job) == "ended"
    log = (job / "tasks/1/stdout").read_text()
    assert log == "from 0 with a secret\nready\nsaved\nfrom 5 with a secret\n"
    assert "Slurm started the task again on " in (job / "tasks/1/stderr").read_text()
    assert (job / "tasks/2/stdout").read_text() == "second\n"
    assert not (job / "slurm/environment").exists()
    assert (job / "slurm/restarts").read_text() == "1\n"
    run_again(job, 1)
    assert (job / "tasks/2/stdout").read_text() == "second\n", "once"


def test_a_job_that_is_requeued_does_not_fail_for_the_copies_of_its_first_try(
    call: Call, job: Path, slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, disk = tmp_path / "workspace", tmp_path / "disk"
    for path in (workspace, disk):
        path.mkdir()
    monkeypatch.setenv("NODE_DISK", str(disk))
    area = quote_words([str(workspace), "", str(workspace)])
    mounted = quote_words([str(workspace), str(workspace)])
    script = f"""
    cd '{job}/slurm/scratch{workspace}'
    ! [ -e tried ] || exit 9
    echo "$SLURM_RESTART_COUNT" >tried
    [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || exit 0
    true >'{job}/slurm/incoming'
    echo ready
    trap 'exit 0' TERM; sleep 60 & wait
    """
    scratch = quote_words(["$NODE_DISK", area, mounted, area])
    assert start(call, job, script, requeue=True, scratch=scratch).returncode == 0
    wait_for(lambda: "ready" in (job / "tasks/1/stdout").read_text())
    answer(slurm, "JobId=7 JobState=COMPLETING PreemptTime=None Restarts=1 Requeue=1")
    terminate(slurm, "PENDING|mlcr-j1|1:00:00|BeginTime")
    (kept,) = disk.iterdir()
    assert f"kept: {kept}/copies on " in (job / "tasks/1/stderr").read_text()
    # As if the node failed while it copied.
    (job / "tasks/1/returning").touch()
    (job / "slurm/incoming").unlink()
    slurm.queue("7|RUNNING|mlcr-j1|1:00:00|None")
    run_again(job, 1)
    assert state(call, job) == "ended"
    report = task_report(call, job)
    assert report["exit"] == "0"
    assert "unreturned" not in report
    assert not (job / "tasks/1/returning").exists()
    assert (workspace / "tried").read_text() == "1\n"
    assert list(disk.iterdir()) == [kept], "these changes are nowhere else"


def submitted(job: Path, options: str) -> None:
    """Write the files of a job that was submitted with these options and runs on a node."""
    for folder in ("slurm", "tasks/1"):
        (job / folder).mkdir(parents=True)
    for name, text in {
        "slurm/options": f"set -- --parsable {options}\n",
        "slurm/id": "7\n",
        "tasks/1/exit.pending": "",
        "owner": "boot 1 2 node1\n",
        "scheduler": slurm_scheduler(),
    }.items():
        (job / name).write_text(text)


@pytest.mark.parametrize(
    ("options", "said", "code", "expected"),
    [
        ("--requeue", "JobId=7 PreemptTime=None Restarts=1 Requeue=1", 0, 0),
        ("--requeue", "JobId=7 PreemptTime=2024-05-01T10:00:00 Restarts=0", 0, 0),
        ("--requeue", "Unable to contact slurm controller (connect failure)", 1, 0),
        ("--requeue", "JobId=7 PreemptTime=None Restarts=0 Requeue=1", 0, 1),
        ("--requeue", "JobId=7 something new", 0, 1),
        ("--no-requeue", "JobId=7 PreemptTime=None Restarts=1 Requeue=0", 0, 1),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_whether_slurm_starts_the_job_again(
    job: Path, slurm: FakeSlurm, shell: str, options: str, said: str, code: int, expected: int
) -> None:
    submitted(job, options)
    answer(slurm, said, code)
    argv = [*SHELLS[shell], str(job / "scheduler"), "requeued", str(job)]
    done = subprocess.run(argv, check=False, timeout=60, env={**os.environ, "SLURM_JOB_ID": "7"})
    assert done.returncode == expected


@pytest.mark.parametrize("word", ["PREEMPTED", "NODE_FAIL"])
def test_the_end_of_one_try_is_not_the_end_of_the_job(
    call: Call, job: Path, slurm: FakeSlurm, word: str
) -> None:
    submitted(job, "--requeue")
    slurm.queue(f"7|{word}|mlcr-j1|0:00|None")
    (job / "slurm/missing").write_text(f"{int(time.time()) - 20}\n")
    assert state(call, job) == "running"
    (job / "slurm/missing").write_text("1\n")
    assert state(call, job) == "lost"
