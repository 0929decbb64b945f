# SPDX-License-Identifier: Apache-2.0
"""Jobs are stopped before, during and after their tasks."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
    calls,
    connected,
    facts,
    launch,
    state,
    task_report,
    write_program,
)
from tests.support.waiting import wait_for


def test_a_task_without_a_start_time_is_stopped(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    (engine.parent / "state").write_text("running 0 false \n")
    script = f"printf abc123 >{job}/tasks/1/cid; cat {gate}"
    launch(call, job, script, engine=str(engine), container="c")
    wait_for((job / "tasks/1/cid").exists)
    (job / "tasks/1/started").unlink()
    assert facts(call("mlcr_stop_job", str(job), "3")) == [("stopped", "yes")]
    assert calls(engine) == ["stop -t 3 -- abc123"]
    gate.write_text("")


def test_a_job_can_be_stopped_before_its_launch(call: Call, job: Path) -> None:
    with connected(job, job.parent.parent / "lock"):
        assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "yes"
        launch(call, job, "echo never")
        wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["stop"], report["stdout"]) == ("pending", "yes", "0")
    assert dict(facts(call("mlcr_stop_job", str(job), "1")))["stopped"] == "nothing"


def test_a_stop_ends_the_process_group_and_starts_no_further_task(
    call: Call, tmp_path: Path
) -> None:
    job = tmp_path / "jobs" / "j"
    launch(call, job, "sleep 30 & sleep 30; wait", "echo never")
    wait_for((job / "tasks/1/group").exists)
    assert call("mlcr_stop_job", str(job), "5").returncode == 0
    call("mlcr_follow_task", str(job), "1", "0", "0")
    report = task_report(call, job)
    assert report["stop"] == "yes"
    assert report["exit"] == "143"
    assert task_report(call, job, 2)["exit"] == "pending"
    assert call("mlcr_stop_job", str(job), "5").returncode == 0, "a second call does no harm"


STARTER = """\
#!/bin/sh
trap 'sleep 0.3; kill -TERM $task' TERM
sh -c "$1" & task=$!
while kill -0 $task 2>/dev/null; do wait $task; done
exit 3
"""
"""What Singularity and Apptainer do with signals."""
TASK = """
(trap "echo child; exit" TERM; while :; do sleep 0.1; done) &
trap "echo task; asked=yes" TERM; touch ready
until [ -n "$asked" ]; do sleep 0.1; done
i=0; while [ $i -lt 15 ]; do sleep 0.1; i=$((i + 1)); done
"""


@pytest.mark.parametrize("name", ["starter", "starter-suid"])
def test_a_task_gets_the_signal_once_if_its_engine_forwards_signals(
    call: Call, job: Path, tmp_path: Path, name: str
) -> None:
    write_program(tmp_path / name, STARTER)
    launch(call, job, f"cd {tmp_path}; exec ./{name} {shlex.quote(TASK)}")
    wait_for((tmp_path / "ready").exists)
    assert call("mlcr_stop_job", str(job), "5").returncode == 0
    wait_for(lambda: state(call, job) == "ended")
    assert sorted((job / "tasks/1/stdout").read_text().split()) == ["child", "task"]
    assert task_report(call, job)["exit"] == "3"


def test_an_engine_that_has_not_started_its_container_gets_the_signal(
    call: Call, job: Path, tmp_path: Path
) -> None:
    text = "#!/bin/sh\ntrap 'exit 4' TERM\ntouch ready\nwhile :; do :; done\n"
    write_program(tmp_path / "starter", text)
    launch(call, job, f"cd {tmp_path}; exec ./starter")
    wait_for((tmp_path / "ready").exists)
    assert call("mlcr_stop_job", str(job), "30").returncode == 0
    wait_for(lambda: state(call, job) == "ended")
    assert task_report(call, job)["exit"] == "4"


STOPS_FIRST = """\
#!/bin/sh
[ "$1" != sh ] || touch "$(dirname "$0")/jobs/j/{file}"
exec {setsid} "$@"
"""
"""setsid(1), before which a task has no process, and after which it runs."""


@pytest.mark.parametrize("file", ["stop", "tasks/1/timedout"])
def test_a_stop_is_not_lost_before_the_process_of_the_task_is_known(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    text = STOPS_FIRST.format(file=file, setsid=shutil.which("setsid"))
    write_program(tmp_path / "setsid", text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    job = tmp_path / "jobs" / "j"
    launch(call, job, "echo never", "echo never")
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["stdout"]) == ("143", "0")


def test_a_task_that_was_stopped_while_it_started_is_not_started(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "jobs" / "j"
    # The supervisor asks for the time after it has looked for a stop.
    text = f'#!/bin/sh\ntouch {job}/stop\nexec {shutil.which("date")} "$@"\n'
    write_program(tmp_path / "date", text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    launch(call, job, "echo never", begins=[f"touch {tmp_path}/prepared"])
    wait_for(lambda: state(call, job) == "ended")
    report = task_report(call, job)
    assert (report["exit"], report["stdout"]) == ("143", "0")
    assert not (tmp_path / "prepared").exists()
