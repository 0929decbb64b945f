# SPDX-License-Identifier: Apache-2.0
"""Sweeps and shards on real hosts: each job once, apart from the others, its outputs here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.runs.ids import new_run_id
from tests.support.command_line import command, run
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.sweeps import Pool, call, jobs, results
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

TRAIN = shell_task(
    "d=${0#*=}; s=${1#*=}; m=${2#*=}; "
    '(echo spoiled >>"$s") 2>&1; (echo spoiled >"$d/more") 2>&1; cat "$d/x" "$s" >"$m"',
    inputs={"data": "data/", "settings": {**FILE, "default": "settings.yaml"}},
    outputs={"model": {**FILE, "default": "out/model.txt"}},
)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = write_cube(tmp_path / "cube", {"train": TRAIN})
    (cube / "workspace/settings.yaml").write_text("lr: 0.1\nsteps: 10\n")
    (cube / "workspace/data").mkdir()
    (cube / "workspace/data/x").write_text("data\n")
    return cube


def test_each_point_is_a_job_that_keeps_out_of_the_others_way(
    ssh_host: HostFactory, pool: Pool, cube: Path
) -> None:
    hosts = (ssh_host("docker"), ssh_host("dash"))
    sweep = ("--sweep", "lr=1e-3,0.5,7", "--sweep", "steps=1,2")
    before = [host.logins() for host in hosts]
    done = run(pool(*hosts), cube, "--host=all_of_them", "--task=train", *sweep, "--output=json")
    found = jobs(done)
    assert [job["job"] for job in found] == ["01", "02", "03", "04", "05", "06"]
    assert {job["host"] for job in found} == {host.name for host in hosts}
    assert found[3]["parameters"] == {"lr": "0.5", "steps": "2"}
    expected = [(lr, steps) for lr in (0.001, 0.5, 7) for steps in (1, 2)]
    for job, (lr, steps) in zip(found, expected, strict=True):
        made = (results(cube) / job["job"] / "out/model.txt").read_text()
        assert made == f"data\nlr: {lr}\nsteps: {steps}\n"
    assert done.stderr.count(b"Read-only file system") == 12, "inputs are shared, not copied"
    assert b"spoiled" not in done.stderr
    for host in hosts:
        mirrors = [path.parent for path in host.home.glob(".mlcube-remote/cubes/*/*/settings.yaml")]
        assert mirrors
        assert not any((mirror / "out").exists() for mirror in mirrors)
        assert not list(host.home.glob(".mlcube-remote/trials/*/**/x")), "one copy of the data"
    # Two jobs may claim a host at once, and the later one then makes sure that nothing is new.
    sent = re.findall(r": sync: \d+ files", done.stderr.decode())
    assert len(sent) == len(hosts), "one transfer per host"
    for host, logins in zip(hosts, before, strict=True):
        assert host.logins() - logins <= 2, "a login for each slot, not for each job"
    assert not (cube / "workspace/out").exists()


def test_a_list_is_split_among_the_hosts(ssh_host: HostFactory, pool: Pool, tmp_path: Path) -> None:
    count = shell_task(
        'sort -r "${0#*=}" >"${1#*=}"',
        inputs={"items": {**FILE, "default": "items.txt"}},
        outputs={"sorted": {**FILE, "default": "sorted.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"count": count})
    (tmp_path / "list").write_text("a\nb c\nd\n")
    inventory = pool(ssh_host("docker"), ssh_host("dash"))
    shard = f"--shard=items={tmp_path}/list"
    found = jobs(run(inventory, cube, "--host=all_of_them", shard, "--output=json"))
    assert [job["parameters"] for job in found] == [{"items": "1-1 of 3"}, {"items": "2-3 of 3"}]
    assert (results(cube) / "01/sorted.txt").read_text() == "a\n"
    assert (results(cube) / "02/sorted.txt").read_text() == "d\nb c\n"


def test_an_input_that_its_task_writes_to_is_a_copy_for_each_job(
    ssh_host: HostFactory, pool: Pool, tmp_path: Path
) -> None:
    task = shell_task(
        'echo more >>"${0#*=}/x"; cat "${0#*=}/x" "${1#*=}" >"${2#*=}"',
        inputs={
            "data": {"type": "directory", "default": "data/", "opts": "rw"},
            "which": {**FILE, "default": "one.txt"},
        },
        outputs={"out": {**FILE, "default": "out.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"task": task})
    (cube / "workspace/data").mkdir()
    for name, text in {"data/x": "x\n", "one.txt": "one\n", "two.txt": "two\n"}.items():
        (cube / "workspace" / name).write_text(text)
    host = ssh_host("docker")
    sweep = "--sweep=which=one.txt,two.txt"
    jobs(run(pool(host), cube, f"--host={host.name}", sweep, "--output=json"))
    assert (results(cube) / "01/out.txt").read_text() == "x\nmore\none\n"
    assert (results(cube) / "02/out.txt").read_text() == "x\nmore\ntwo\n"
    shared = [*host.home.glob(".mlcube-remote/cubes/probe-*/workspace/data/x")]
    assert "x\n" in {path.read_text() for path in shared}
    assert "more" not in {line for path in shared for line in path.read_text().splitlines()}


def test_jobs_go_where_a_host_can_be_used(ssh_host: HostFactory, pool: Pool, cube: Path) -> None:
    inventory = pool(ssh_host("no-engine"), ssh_host("docker"), ssh_host("no-rsync"))
    sweep = "--sweep=lr=1,2,3,4,5"
    done = run(inventory, cube, "--host=all_of_them", "--task=train", sweep, "--output=json")
    found = jobs(done)
    assert {job["host"] for job in found} == {ssh_host("docker").name}
    said = done.stderr.decode()
    assert said.count("excluded from this run:") == 2
    assert said.count("will be retried") >= 2


GPUS = [f"GPU-{os.getpid()}-{number}" for number in range(3)]
"""This test session's own: labels of others' containers on the engine count as well."""
NVIDIA_SMI = rf"""#!/bin/sh
case $1 in
--query-gpu=*) printf '%s\n' '0, {GPUS[0]}' '1, {GPUS[1]}' '2, {GPUS[2]}' ;;
--query-compute-apps=*) echo {GPUS[1]} ;;
esac
"""
WITHOUT_GPUS = r"""#!/bin/sh
# The engine, which here has no devices to pass on: a variable has their names.
for word in "$@"; do
    shift
    case $word in
    --gpus=*) set -- "$@" -e "DEVICES=${word#--gpus=}" ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec docker "$@"
"""


def test_jobs_get_gpus_of_their_own(ssh_host: HostFactory, pool: Pool, tmp_path: Path) -> None:
    host = ssh_host(private=True)
    for name, text in {"nvidia-smi": NVIDIA_SMI, "docker-without": WITHOUT_GPUS}.items():
        program = f"cat >/usr/local/bin/{name} <<'EOT'\n{text}EOT\nchmod 755 /usr/local/bin/{name}"
        assert host.exec(["sh", "-c", program]).exit_code == 0
    hold = shell_task(
        'echo started; while [ ! -e "$(dirname "${1#*=}")/go" ]; do sleep 0.1; done; '
        'echo "$DEVICES" >"${1#*=}"',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"devices": {**FILE, "default": "devices.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"hold": hold}, platform={"accelerator_count": 1})
    (cube / "workspace/settings.yaml").write_text("n: 0\n")
    inventory, run_id = pool(host), new_run_id()
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][host.name]["docker"] = {"docker": "docker-without"}
    # What another user would be: nothing is shared but the machine.
    described["hosts"]["stranger"] = {
        **described["hosts"][host.name],
        "remote_root": "~/.mlcube-remote-of-a-stranger",
    }
    inventory.write_text(yaml.safe_dump(described))
    argv = command(inventory, cube, f"--host={host.name}", "--sweep=n=1,2", f"--run-id={run_id}")
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(
            subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
        assert client.stdout is not None
        assert b"started" in client.stdout.readline()
        assert b"started" in client.stdout.readline(), "both are running"
        other = write_cube(tmp_path / "other", {"hold": hold}, platform={"accelerator_count": 1})
        (other / "workspace/settings.yaml").write_text("n: 0\n")
        busy = [run(inventory, other, f"--host={name}") for name in (host.name, "stranger")]
        late = new_run_id()
        sweep = ("--host=stranger", "--sweep=n=3", f"--run-id={late}")
        busy.append(run(inventory, other, *sweep))
        listed = json.loads(call(inventory, "ps", "--all", "--output=json").stdout)["hosts"]
        runs = [job["run"] for answer in listed for job in answer["jobs"]]
        assert runs == [run_id, run_id], "what was refused is no job"
        waiting = stack.enter_context(
            subprocess.Popen([*command(inventory, other, *sweep), "--wait"], stderr=subprocess.PIPE)
        )
        assert waiting.stderr is not None
        assert any(b"0 of 3 GPUs are free" in line for line in iter(waiting.stderr.readline, b""))
        for room in host.home.glob(f".mlcube-remote/trials/{run_id}-*/workspace"):
            (room / "go").touch()
        _, err = client.communicate(timeout=90)
        rooms = f".mlcube-remote-of-a-stranger/trials/{late}-*/workspace"
        wait_for(lambda: [*host.home.glob(rooms)], 60)
        (room,) = host.home.glob(rooms)
        (room / "go").touch()
        _, said = waiting.communicate(timeout=90)
    assert waiting.returncode == 0, said.decode()
    assert client.returncode == 0, err.decode()
    devices = {(results(cube) / name / "devices.txt").read_text() for name in ("01", "02")}
    assert devices == {f"device={GPUS[0]}\n", f"device={GPUS[2]}\n"}, "GPU 1 is somebody else's"
    for refused in busy:
        assert refused.returncode == 117
        assert b"0 of 3 GPUs are free, and the job asks for 1" in refused.stderr
    leases = host.exec(["find", "/run/lock", "-name", "mlcube-remote-gpu=*"])
    assert (leases.exit_code, leases.output) == (0, b""), "the lease was removed at the end"


def test_a_sweep_that_fits_is_left_alone(ssh_host: HostFactory, pool: Pool, cube: Path) -> None:
    host = ssh_host("docker")
    inventory = pool(host)
    to = (f"--host={host.name}", "--task=train", "--detach")
    refused = run(inventory, cube, *to, "--sweep=lr=1,2,3")
    assert refused.returncode == 2
    assert b"--detach: 3 jobs for 2 slots" in refused.stderr
    started = run(inventory, cube, *to, "--sweep=lr=1,2")
    assert started.returncode == 0, started.stderr.decode()
    run_id = started.stdout.decode().strip()
    followed = call(inventory, "attach", run_id, "--output=json")
    assert [job["status"] for job in jobs(followed)] == ["succeeded"] * 2
    assert (results(cube) / "01/out/model.txt").read_text() == "data\nlr: 1\nsteps: 10\n"
    assert not (cube / "results" / run_id / host.name).exists()


def test_random_points_of_a_range_are_run_and_found_again_by_their_seed(
    ssh_host: HostFactory, pool: Pool, cube: Path
) -> None:
    host = ssh_host()
    inventory = pool(host)
    sweep = ("--sweep", "lr=log:1e-4..1e-1", "--sweep", "steps=int:1..8", "--sample=3")
    done = run(inventory, cube, f"--host={host.name}", "--task=train", *sweep, "--output=json")
    points = [job["parameters"] for job in jobs(done)]
    assert len(points) == 3
    for number, point in enumerate(points, 1):
        assert 1e-4 <= float(point["lr"]) <= 1e-1
        assert int(point["steps"]) in range(1, 9)
        made = yaml.safe_load((results(cube) / f"0{number}/out/model.txt").read_text()[5:])
        assert made == {"lr": float(point["lr"]), "steps": int(point["steps"])}
    (seed,) = re.findall(r"--seed=(\d+) chooses the same ones again", done.stderr.decode())
    call_again = (f"--host={host.name}", "--task=train", *sweep, f"--seed={seed}", "--output=json")
    same = run(inventory, cube, *call_again)
    assert [job["parameters"] for job in jobs(same)] == points
    rerun = call(inventory, "rerun", json.loads(done.stdout)["run"], "--output=json")
    assert [job["parameters"] for job in jobs(rerun)] == points
