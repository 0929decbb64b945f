# SPDX-License-Identifier: Apache-2.0
"""Sweeps that go on after an interruption, and jobs that run again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mlcube_remote.runs.ids import new_run_id
from tests.support.command_line import command, run
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.sweeps import Pool, call, jobs, results
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def test_a_sweep_continues_after_its_client_died(
    ssh_host: HostFactory, pool: Pool, tmp_path: Path
) -> None:
    gated = shell_task(
        'echo started; while [ ! -e "$(dirname "${1#*=}")/go" ]; do sleep 0.1; done; '
        'cat "${0#*=}" >"${1#*=}"',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"made": {**FILE, "default": "made.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"gated": gated})
    (cube / "workspace/settings.yaml").write_text("n: 0\n")
    host = ssh_host("docker")
    inventory, run_id = pool(host), new_run_id()
    sweep = (f"--host={host.name}", "--sweep=n=1,2,3", f"--run-id={run_id}")
    with subprocess.Popen(command(inventory, cube, *sweep), stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        started = {client.stdout.readline() for _ in range(2)}
        client.kill()
    assert started == {f"{name}@{host.name} | started\n".encode() for name in ("01", "02")}
    for room in host.home.glob(f".mlcube-remote/trials/{run_id}-*/workspace"):
        (room / "go").touch()
    followed = call(inventory, "attach", run_id, "--output=json")
    assert followed.returncode == 0, followed.stderr.decode()
    assert [job["job"] for job in json.loads(followed.stdout)["jobs"]] == ["01", "02"]
    assert (results(cube) / "02/made.txt").read_text() == "n: 2\n"
    with subprocess.Popen(
        [*command(inventory, cube, *sweep), "--output=json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as again:
        wait_for(lambda: [*host.home.glob(f".mlcube-remote/trials/{run_id}-03-*/workspace")], 60)
        (room,) = host.home.glob(f".mlcube-remote/trials/{run_id}-03-*/workspace")
        (room / "go").touch()
        out, err = again.communicate(timeout=90)
    assert again.returncode == 0, err.decode()
    assert [job["attempt"] for job in json.loads(out)["jobs"]] == [1, 1, 1]
    assert err.count(b"was started before: following it") == 2
    assert (results(cube) / "03/made.txt").read_text() == "n: 3\n"
    seen = call(inventory, "attach", run_id)
    assert seen.returncode == 0, seen.stderr.decode()
    assert seen.stdout == b"", "all three were followed to their end"
    assert seen.stderr.startswith(b"not shown again: 3 of 3 jobs")
    assert call(inventory, "logs", run_id).stdout.count(b"started") == 3
    assert call(inventory, "attach", run_id, "--tail=1").stdout.count(b"started") == 3


def test_failed_jobs_of_a_sweep_run_again(
    ssh_host: HostFactory, pool: Pool, tmp_path: Path
) -> None:
    fussy = shell_task(
        'grep -v "n: 2" "${0#*=}" >"${1#*=}"',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"made": {**FILE, "default": "made.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"fussy": fussy})
    (cube / "workspace/settings.yaml").write_text("n: 0\n")
    host = ssh_host("docker")
    inventory, run_id = pool(host), new_run_id()
    sweep = (f"--host={host.name}", "--sweep=n=1,2,3", f"--run-id={run_id}", "--output=json")
    done = run(inventory, cube, *sweep, "--retries=1", "--retry-on=task", "--retry-on=host")
    assert done.returncode == 1
    found = json.loads(done.stdout)["jobs"]
    assert [job["status"] for job in found] == ["succeeded", "failed", "succeeded"]
    assert [job["attempt"] for job in found] == [1, 2, 1], "it was given a second chance"
    (cube / "mlcube.yaml").write_text((cube / "mlcube.yaml").read_text().replace("-v ", ""))
    again = call(inventory, "rerun", run_id, "--failed", "--output=json")
    (job,) = jobs(again)
    assert (job["job"], job["attempt"], job["parameters"]) == ("02", 3, {"n": "2"})
    assert (results(cube) / "02/made.txt").read_text() == "n: 2\n"
    index = json.loads((results(cube) / "results.json").read_text())
    assert [(job["job"], job["status"]) for job in index["jobs"]] == [
        ("01", "succeeded"),
        ("02", "succeeded"),
        ("03", "succeeded"),
    ]
    status = call(inventory, "status", run_id, "--output=json")
    assert [job["job"] for job in json.loads(status.stdout)["jobs"]] == ["01", "02", "03"]


def test_cancelled_jobs_of_a_sweep_run_again(
    ssh_host: HostFactory, pool: Pool, tmp_path: Path
) -> None:
    fussy = shell_task(
        'grep -v bad-1 "${0#*=}" >"${1#*=}"',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"made": {**FILE, "default": "made.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"fussy": fussy})
    (cube / "workspace/settings.yaml").write_text("n: bad-0\n")
    host = ssh_host("docker")
    inventory, run_id = pool(host, slots=1), new_run_id()
    sweep = (
        f"--host={host.name}",
        "--sweep=n=bad-1,bad-2,bad-3,bad-4",
        f"--run-id={run_id}",
        "--output=json",
    )
    done = run(inventory, cube, *sweep, "--fail-fast")
    assert done.returncode == 1, done.stderr.decode()
    assert b"one job has failed: all others are cancelled" in done.stderr
    index = json.loads((results(cube) / "results.json").read_text())["jobs"]
    assert [job["job"] for job in index] == ["01", "02", "03", "04"]
    assert [job["status"] for job in index[2:]] == ["not-started"] * 2, "no host has heard of them"
    (cube / "mlcube.yaml").write_text((cube / "mlcube.yaml").read_text().replace("-v bad-1", "bad"))
    again = call(inventory, "rerun", run_id, "--failed", "--output=json")
    assert {job["job"] for job in jobs(again)} >= {"01", "03", "04"}
    index = json.loads((results(cube) / "results.json").read_text())["jobs"]
    assert [job["status"] for job in index if job["job"] != "02"] == ["succeeded"] * 3
