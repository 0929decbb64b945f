# SPDX-License-Identifier: Apache-2.0
"""The state of a job, as far as the host can know it."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.shell_library import (
    Call,
    claim,
    connected,
    facts,
    identify_process,
    kill_supervisor,
    launch,
    records,
    state,
    task_report,
)
from tests.support.waiting import wait_for


def test_a_claimed_job_is_preparing_while_its_client_is_connected(call: Call, job: Path) -> None:
    with connected(job, job.parent.parent / "lock"):
        assert state(call, job) == "preparing"
    assert state(call, job) == "abandoned"
    assert claim(call, job).returncode == 17
    assert state(call, job.with_name("other")) == "absent"


@pytest.mark.parametrize("name", ["ssh d", "a) Z (b", "two\nlines", "ends\n", "a) Z\n(b"])
def test_a_process_may_have_any_name(call: Call, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.symlink_to(shutil.which("sleep") or "")
    with subprocess.Popen([program, "30"]) as process:
        wait_for(lambda: name[:15] in Path(f"/proc/{process.pid}/stat").read_text())
        identity = identify_process(process.pid).split()
        assert call("mlcr_is_process_alive", *identity).returncode == 0
        process.kill()
    assert call("mlcr_is_process_alive", *identity).returncode == 1


def test_with_an_engine_that_hangs_the_task_is_unknown(
    call: Call, job: Path, engine: Path, gate: Path
) -> None:
    launch(call, job, f"cat {gate}", engine=str(engine), container="c")
    kill_supervisor(job)
    engine.write_text("#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    report = dict(facts(call("mlcr_report_task", str(job), "1", mlcr_timeout_s="1")))
    assert (report["exit"], report["alive"], report["container"]) == ("pending", "no", "unknown")
    assert call("mlcr_print_job_state", str(job), mlcr_timeout_s="1").stdout == b"orphaned\n"
    assert time.monotonic() - began < 20


def test_after_a_reboot_the_job_is_lost(call: Call, job: Path, tmp_path: Path, gate: Path) -> None:
    launch(call, job, f"cat {gate}")
    wait_for((job / "owner").exists)
    (tmp_path / ".mlcube-remote-boot-id").write_text("another-boot\n")
    assert state(call, job) == "lost"
    report = task_report(call, job)
    assert (report["exit"], report["alive"], report["boot"]) == ("pending", "no", "changed")
    gate.write_text("")


def test_a_claim_from_another_machine_with_this_home_is_elsewhere(call: Call, job: Path) -> None:
    claim(call, job)
    (job / "preparing").write_text("boot 1 2 another-node\n")
    assert state(call, job) == "elsewhere"
    lock = job.parent.parent / "lock"
    lock.mkdir()
    (lock / "first").write_text("j1\n")
    refused = claim(call, job.with_name("j2"), lock)
    assert refused.returncode == 16
    assert dict(records(refused))["node"] == "another-node"


def test_a_task_on_another_machine_is_elsewhere_and_not_stopped(
    call: Call, job: Path, gate: Path
) -> None:
    launch(call, job, f"cat {gate}")
    wait_for((job / "owner").exists)
    (job / "owner").write_text("boot 1 2 another-node\n")
    assert state(call, job) == "elsewhere"
    report = task_report(call, job)
    assert (report["alive"], report["node"]) == ("no", "another-node")
    assert report.keys().isdisjoint({"boot", "container"})
    assert dict(facts(call("mlcr_stop_job", str(job), "1"))) == {"node": "another-node"}
    assert not (job / "stop").exists()
    gate.write_text("")
    wait_for(lambda: state(call, job) == "ended")
