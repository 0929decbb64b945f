# SPDX-License-Identifier: Apache-2.0
"""Jobs are submitted to Slurm once, run, and are stopped there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.fake_slurm import FakeSlurm, start
from tests.support.shell_library import Call, facts, launch, state, task_report
from tests.support.waiting import wait_for


def test_slurm_runs_the_tasks_and_the_directory_has_their_end(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    assert start(call, job, "echo $SLURM_JOB_ID; exit 4").returncode == 0
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["slurm"]) == ("4", "7")
    assert (job / "tasks/1/stdout").read_text() == "7\n"
    assert len(slurm.calls("sbatch")) == 1


def test_secrets_reach_the_task_and_neither_slurm_nor_a_file_that_stays(
    call: Call, job: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"TOKEN": "it's $HOME\n\n `x`", "EMPTY": "", "LAST": "line\n"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    script = 'printf "%s|" "$TOKEN" "$EMPTY" "$LAST"'
    start(call, job, script, variables=" ".join(values))
    wait_for(lambda: state(call, job) == "ended")
    assert (job / "tasks/1/stdout").read_text() == "".join(f"{each}|" for each in values.values())
    assert "it's" not in (slurm.folder / "environment").read_text()
    assert not (job / "slurm/environment").exists()


def test_values_wait_for_the_node_in_a_private_file(
    call: Call, job: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    slurm.set("waits")
    start(call, job, "true", variables="TOKEN")
    kept = job / "slurm/environment"
    assert kept.read_text() == "export TOKEN='s3cret'\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in " ".join(slurm.calls("sbatch"))


def test_setup_runs_before_the_tasks_in_a_login_shell(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    slurm.set("waits")
    start(call, job, "true", setup="module load x || exit 1\nset -- other\n")
    assert (job / "slurm/batch").read_text().startswith("#!/bin/bash -l\n")
    assert (job / "slurm/setup").read_text() == "module load x || exit 1\nset -- other\n"


def test_setup_cannot_lose_the_job_and_its_variables_reach_the_tasks(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    assert slurm.calls("sbatch") == []
    start(call, job, "echo $FROM_SETUP", setup="set -- other; export FROM_SETUP=here\n")
    wait_for(lambda: state(call, job) == "ended")
    assert (job / "tasks/1/stdout").read_text() == "here\n"


def test_a_refused_job_is_not_launched_and_may_be_launched_again(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    slurm.set("refuses")
    done = start(call, job, "true", variables="HOME")
    assert (done.returncode, b"Invalid account" in done.stderr) == (21, True)
    assert not (job / "tasks").exists()
    assert not (job / "slurm/environment").exists()
    slurm.set("refuses", to=False)
    assert start(call, job, "true").returncode == 0
    wait_for(lambda: state(call, job) == "ended")


def test_a_lost_answer_is_found_by_name_and_the_job_is_submitted_once(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    slurm.set("loses")
    assert start(call, job, "true").returncode == 0
    assert len(slurm.calls("sbatch")) == 1
    assert (job / "slurm/id").read_text() == "7\n"


def test_a_controller_that_is_down_leaves_the_question_open(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    slurm.set("down")
    assert start(call, job, "true").returncode == 22
    assert (job / "tasks").exists(), "it may be queued"
    slurm.set("down", to=False)
    assert start(call, job, "true").returncode == 17
    wait_for(lambda: state(call, job) == "ended")
    assert len(slurm.calls("sbatch")) == 2, "the first one failed"


def test_a_launch_that_was_cut_off_before_sbatch_is_completed_by_the_next(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    start(call, job, "echo once")
    wait_for(lambda: state(call, job) == "ended")
    for name in ("id", "answer"):
        (job / "slurm" / name).unlink()
    slurm.queue("7|RUNNING|mlcr-j1|1:00|None")
    assert launch(call, job, "echo twice").returncode == 17
    assert (job / "slurm/id").read_text() == "7\n"
    assert len(slurm.calls("sbatch")) == 1


def test_a_second_batch_job_of_one_job_ends_at_once(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    start(call, job, "echo once")
    wait_for(lambda: state(call, job) == "ended")
    second = subprocess.run(
        ["sh", str(job / "slurm/batch"), str(job)],
        env={**os.environ, "SLURM_JOB_ID": "8"},
        check=False,
        timeout=20,
    )
    assert second.returncode == 0
    assert (job / "tasks/1/stdout").read_text() == "once\n"
    assert (job / "slurm/claimed").read_text() == "7\n"
    assert slurm.calls("scancel") == []


def test_a_queued_job_is_stopped_at_once_and_leaves_no_secret(
    call: Call, job: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    slurm.set("waits")
    start(call, job, "echo never", variables="TOKEN")
    assert state(call, job) == "queued"
    assert facts(call("mlcr_stop_job", str(job), "5")) == [("stopped", "yes")]
    assert state(call, job) == "ended"
    assert not (job / "slurm/environment").exists()
    report = task_report(call, job)
    assert (report["exit"], report["stop"], report["stdout"]) == ("pending", "yes", "0")
    assert facts(call("mlcr_stop_job", str(job), "5")) == [("stopped", "nothing")]


def test_a_running_job_is_stopped_as_on_any_host(call: Call, job: Path, slurm: FakeSlurm) -> None:
    start(call, job, "trap 'echo bye; exit 3' TERM; echo hi; sleep 30 & wait", "echo never")
    wait_for(lambda: (job / "tasks/1/stdout").read_text() == "hi\n")
    assert facts(call("mlcr_stop_job", str(job), "5")) == [("stopped", "yes")]
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["stop"], "scheduler" in report) == ("3", "yes", False)
    assert (job / "tasks/1/stdout").read_text() == "hi\nbye\n"
    assert task_report(call, job, 2)["exit"] == "pending"
    assert slurm.calls("scancel") == ["--state=PENDING 7", "--batch --signal=TERM 7"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("RUNNING|mlcr-j1|0:58|None", "TIMEOUT"),
        ("COMPLETING|mlcr-j1|0:00|TimeLimit", "TIMEOUT"),
        ("COMPLETING|mlcr-j1|3:10:00|None", "CANCELLED"),
        ("RUNNING|mlcr-j1|10:58|None", "CANCELLED"),
        ("PREEMPTED|mlcr-j1|1:00:00|None", "PREEMPTED"),
    ],
)
def test_a_signal_to_the_whole_job_ends_the_task_and_leaves_a_record(
    call: Call, job: Path, slurm: FakeSlurm, line: str, word: str
) -> None:
    start(call, job, "trap 'echo bye; exit 3' TERM; echo hi; sleep 30 & wait", "echo never")
    wait_for(lambda: (job / "tasks/1/stdout").read_text() == "hi\n")
    slurm.queue(f"7|{line}")
    pid = int((slurm.folder / "pid.7").read_text())
    os.killpg(pid, signal.SIGTERM)
    wait_for((job / "tasks/1/exit.3").exists)
    report = task_report(call, job)
    assert (report["exit"], report["scheduler"]) == ("3", word)
    assert (job / "tasks/1/stdout").read_text() == "hi\nbye\n"
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert task_report(call, job, 2)["exit"] == "pending"


def test_a_job_that_is_cancelled_twice_leaves_a_record(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    start(call, job, "trap 'echo bye; exit 3' TERM; echo hi; sleep 30 & wait")
    wait_for(lambda: (job / "tasks/1/stdout").read_text() == "hi\n")
    slurm.queue("7|RUNNING|mlcr-j1|10:58|None")
    pid = int((slurm.folder / "pid.7").read_text())
    with contextlib.suppress(ProcessLookupError):
        for _ in range(20):
            os.killpg(pid, signal.SIGTERM)
            time.sleep(0.01)
    wait_for((job / "tasks/1/exit.3").exists)
    assert (job / "slurm/end").read_text() == "CANCELLED\n"
    assert task_report(call, job)["scheduler"] == "CANCELLED"


def test_a_further_command_runs_in_a_step_beside_the_batch_script(
    call: Call, job: Path, slurm: FakeSlurm
) -> None:
    slurm.set("waits")
    start(call, job, "true")
    srun = slurm.folder / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s|" "$@"\nfor last; do :; done\nexit 7\n')
    srun.chmod(0o755)
    where = "--jobid=7|--overlap|--relative=0|--nodes=1|--ntasks=1"
    for terminal, option in (("", ""), ("yes", "--pty|")):
        done = call("mlcr_exec_in_job", str(job), terminal, "echo", "a b")
        there = f"/bin/sh|{job}/scheduler|enter|{job}|{terminal}|echo|a b|"
        assert done.stdout.decode() == f"--quiet|{where}|{option}{there}"
        assert done.returncode == 7
