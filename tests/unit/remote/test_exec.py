# SPDX-License-Identifier: Apache-2.0
"""A further command runs in the container of the running task, and nowhere else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shell_library import FOREIGN, OURS, Call, calls, launch, state
from tests.support.waiting import wait_for

ENGINE = r"""#!/bin/sh
here=${0%/*}
case "$1" in
inspect) cat "$here/labels" ;;
exec) printf '%s\n' "$*" >>"$here/calls"; shift $(($# - 2)); exec "$@" ;;
esac
"""


@pytest.fixture
def running(call: Call, job: Path, engine: Path, gate: Path) -> Iterator[Path]:
    """Return a job whose task runs in a container of the fake engine."""
    engine.write_text(ENGINE)
    (engine.parent / "labels").write_text(OURS)
    launch(call, job.with_name("run1-a"), f"cat {gate}", engine=str(engine), container="c")
    wait_for((job.with_name("run1-a") / "tasks/1/started").exists)
    yield job.with_name("run1-a")
    gate.write_text("")  # waits until the task reads


def test_the_command_runs_by_the_id_of_the_container(
    call: Call, running: Path, engine: Path
) -> None:
    done = call("mlcr_exec_in_job", str(running), "", "printf", "a b")
    assert (done.returncode, done.stdout) == (0, b"a b")
    assert calls(engine) == ["exec --interactive abc123 printf a b"]


def test_a_terminal_is_passed_on_with_its_type(call: Call, running: Path, engine: Path) -> None:
    call("mlcr_exec_in_job", str(running), "yes", "echo", "x", TERM="screen")
    assert calls(engine) == ["exec --interactive --tty --env TERM=screen abc123 echo x"]


@pytest.mark.parametrize("code", [0, 3, 127])
def test_the_status_of_the_command_is_returned(call: Call, running: Path, code: int) -> None:
    done = call("mlcr_exec_in_job", str(running), "", "/bin/sh", f"{_script(running, code)}")
    assert done.returncode == code


def _script(folder: Path, code: int) -> Path:
    (folder / "script").write_text(f"exit {code}\n")
    return folder / "script"


@pytest.mark.parametrize("labels", FOREIGN.values(), ids=FOREIGN)
def test_a_container_that_is_not_the_jobs_is_not_entered(
    call: Call, running: Path, engine: Path, labels: str
) -> None:
    (engine.parent / "labels").write_text(labels)
    done = call("mlcr_exec_in_job", str(running), "", "echo", "x")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"cannot be found" in done.stderr
    assert calls(engine) == []


def test_without_a_running_task_nothing_is_entered(call: Call, job: Path) -> None:
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    done = call("mlcr_exec_in_job", str(job), "", "echo", "x")
    assert done.returncode == 125
    assert b"no task of this job is running" in done.stderr


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", "two\nlines", '$HOME `id` "x" \\', "", "a=b"]
)
def test_variables_of_a_process_are_read_exactly(call: Call, value: str) -> None:
    with subprocess.Popen(["sleep", "30"], env={"VALUE": value, "odd-name": "x"}) as process:
        wait_for(lambda: b"VALUE" in Path(f"/proc/{process.pid}/environ").read_bytes())
        text = call("mlcr_print_environment", str(process.pid)).stdout
        process.kill()
    shown = subprocess.run(
        ["sh", "-c", text.decode() + '\nprintf %s "$VALUE"'], capture_output=True, check=True
    )
    assert shown.stdout.decode() == value
    assert b"odd-name" not in text
