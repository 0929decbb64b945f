# SPDX-License-Identifier: Apache-2.0
"""Supervisors, containers and hosts that are gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlcube_remote.sandbox.engine import docker
from tests.support.both_paths import on_both_paths
from tests.support.cubes import write_cube
from tests.support.interrupted_runs import (
    EXPECTED,
    GATE,
    GATED,
    Scenario,
    behind,
    finish,
    read_client,
    read_until,
)
from tests.support.waiting import wait_for
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def test_a_host_that_cannot_be_asked_is_no_proof_of_anything(gated: Scenario) -> None:
    run_id = gated.call("run", "--detach").stdout.strip()
    gated.wire.cut()
    status = gated.call("status", run_id, "--output=json")
    assert status.returncode == 120
    assert json.loads(status.stdout)["jobs"][0]["status"] == "unknown"
    gated.wire.restore()
    gated.go()
    gated.require_one_whole_run(gated.call("attach", run_id))


def _pid_of_supervisor(scenario: Scenario) -> str:
    # A process list also has subshells, and supervisors of earlier jobs that clean up.
    jobs = scenario.host.home.glob(".mlcube-remote/jobs/*/tasks/1/exit.pending")
    owners = (job.parents[2] / "owner" for job in jobs)
    return max(owners, key=lambda owner: owner.stat().st_mtime).read_text().split()[1]


@on_both_paths
def test_a_supervisor_that_was_killed_is_replaced(gated: Scenario) -> None:
    with gated.client("run") as client:
        read = read_client(client, f"line {GATE}\n")
        gated.host.exec(["kill", "-KILL", _pid_of_supervisor(gated)])
        gated.go()
        done = finish(client, read)
    assert "a new one was started" in done.stderr
    assert "some of the task's output may be missing" in done.stderr
    gated.require_one_whole_run(done)


@on_both_paths
def test_a_container_that_somebody_removed_is_lost(gated: Scenario) -> None:
    with gated.client("run") as client:
        read_client(client, f"line {GATE}\n")
        docker("rm", "--force", *gated.host.tasks())
        done = finish(client)
    assert done.returncode == 1
    assert "lost" in done.stderr
    assert "its container was removed" in done.stderr


def test_after_a_reboot_a_job_is_lost_and_its_log_is_there(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host(private=True)
    cube = write_cube(tmp_path / "cube", {"count": GATED})
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path)
        scenario = Scenario(host=host, wire=wire, cube=cube, inventory=inventory)
        with scenario.client("run") as client:
            read = read_client(client, f"line {GATE}\n")
            containers = host.tasks()
            wire.cut()
            host.container.get_wrapped_container().kill()
            docker("rm", "--force", *containers)
            (host.home / ".mlcube-remote-boot-id").write_text("the-next-boot\n")
            host.container.get_wrapped_container().start()
            wire.target = host.container.get_exposed_port(22)
            wire.restore()
            done = finish(client, read)
    assert done.returncode == 1, done.stderr
    assert "the host rebooted while it ran (boot id changed)" in done.stderr
    assert EXPECTED.startswith(done.stdout), "no line twice"
    assert f"line {GATE}\n" in done.stdout


def test_a_job_of_another_machine_with_this_home_is_followed_and_not_called_lost(
    gated: Scenario,
) -> None:
    run_id = gated.call("run", "--detach").stdout.strip()
    wait_for(lambda: f"line {GATE}\n" in gated.call("logs", run_id).stdout)
    (owner,) = gated.host.home.glob(f".mlcube-remote/jobs/{run_id}*/owner")
    pid_and_start = owner.read_text().split()[1:3]
    owner.write_text(" ".join(["another-boot", *pid_and_start, "login2"]) + "\n")
    status = gated.call("status", run_id)
    assert status.returncode == 123, status.stderr
    assert "the job runs on login2, which shares this home directory" in status.stderr
    assert "lost" not in status.stderr
    assert gated.call("stop", run_id).returncode == 123
    assert "elsewhere" in gated.call("ps").stdout
    assert run_id not in gated.call("clean", "--older-than=1s", "--dry-run").stdout
    with gated.client("attach", run_id) as client:
        message = read_until(client.stderr, "the job runs on login2")
        gated.go()
        done = finish(client)
    done.stderr = message + done.stderr
    gated.require_one_whole_run(done)
