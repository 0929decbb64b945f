# SPDX-License-Identifier: Apache-2.0
"""What runs on Docker runs with a SIF file too: sweeps, shards, leases, retries, reruns."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import command, mirror, run
from tests.support.cubes import FILE, QUICKLY, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

RECIPE = f"Bootstrap: docker\nFrom: {BASE_IMAGE}\n"
TRAIN = shell_task(
    "d=${0#*=}; s=${1#*=}; m=${2#*=}; "
    '(echo spoiled >>"$s") 2>&1; (echo spoiled >"$d/more") 2>&1; cat "$d/x" "$s" >"$m"',
    inputs={"data": "data/", "settings": {**FILE, "default": "settings.yaml"}},
    outputs={"model": {**FILE, "default": "out/model.txt"}},
)

NVIDIA_SMI = r"""#!/bin/sh
case $1 in
*index,uuid*) printf '0, GPU-aa\n1, GPU-bb\n' ;;
*name,memory*) printf 'Test, 1 MiB\nTest, 1 MiB\n' ;;
esac
"""
"""Prints what the driver's program prints on a machine with two free GPUs."""


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("apptainer", private=True)


@pytest.fixture
def inventory(inventory_of: Callable[..., Path], host: SshHost) -> Path:
    """Return an inventory in which the host takes three jobs at once."""
    path = inventory_of(host)
    path.write_text(yaml.safe_dump({"defaults": {"slots": 3}, **yaml.safe_load(path.read_text())}))
    return path


def make_cube(root: Path, **tasks: Any) -> Path:
    cube = write_cube(root, tasks, singularity={"build_file": "probe.def"})
    (cube / "probe.def").write_text(RECIPE)
    (cube / "workspace/settings.yaml").write_text("lr: 0.1\n")
    (cube / "workspace/data").mkdir()
    (cube / "workspace/data/x").write_text("data\n")
    return cube


def jobs(done: Any, code: int = 0) -> list[Any]:
    assert done.returncode == code, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return list(document["jobs"])


def results(cube: Path) -> Path:
    (found,) = (cube / "results").iterdir()
    return found


def require_one_image(host: SshHost, said: bytes) -> None:
    """Require that the host has one image, which was built once."""
    assert said.count(b"Creating SIF file") == 1, said.decode()
    assert [path.name for path in images(host)] == ["probedef.sif"]


def images(host: SshHost) -> list[Path]:
    return list(host.home.glob(".mlcube-remote/**/*.sif"))


def test_a_sweep_builds_its_image_once_and_shares_its_inputs(
    host: SshHost, inventory: Path, tmp_path: Path
) -> None:
    cube = make_cube(tmp_path / "cube", train=TRAIN)
    options = (f"--host={host.name}", "--task=train", QUICKLY, "--output=json")
    done = run(inventory, cube, *options, "--sweep=lr=1,2,3,4")
    assert [job["job"] for job in jobs(done)] == ["01", "02", "03", "04"]
    for number in range(1, 5):
        made = results(cube) / f"0{number}" / "out/model.txt"
        assert made.read_text() == f"data\nlr: {number}\n"
    assert done.stderr.count(b"Read-only file system") == 8, "inputs are shared, not copied"
    require_one_image(host, done.stderr)
    assert not (mirror(host) / "workspace/out").exists()


def test_shards_use_one_image_per_host(
    host: SshHost, ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    count = shell_task(
        'sort -r "${0#*=}" >"${1#*=}"',
        inputs={"items": {**FILE, "default": "items.txt"}},
        outputs={"sorted": {**FILE, "default": "sorted.txt"}},
    )
    cube = make_cube(tmp_path / "cube", count=count)
    (tmp_path / "list").write_text("a\nb c\nd\n")
    hosts = (host, ssh_host("apptainer", private=True))
    shard = f"--shard=items={tmp_path}/list"
    done = run(inventory_of(*hosts), cube, "--host=all_of_them", shard, QUICKLY, "--output=json")
    assert len(jobs(done)) == 2
    made = [(results(cube) / f"0{number}" / "sorted.txt").read_text() for number in (1, 2)]
    assert made == ["a\n", "d\nb c\n"]
    assert done.stderr.count(b"Creating SIF file") == 2
    for each in hosts:
        assert [path.name for path in images(each)] == ["probedef.sif"]


def test_jobs_that_failed_are_retried_and_rerun_with_the_same_image(
    host: SshHost, inventory: Path, tmp_path: Path
) -> None:
    task = shell_task(
        'case $(cat "${0#*=}") in *good*) echo made >"${1#*=}/x" ;; *) exit 3 ;; esac',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"out": "out/"},
    )
    cube = make_cube(tmp_path / "cube", try_it=task)
    (cube / "workspace/settings.yaml").write_text("lr: a text, as the values of the sweep\n")
    run_id = new_run_id()
    options = (f"--host={host.name}", QUICKLY, f"--run-id={run_id}", "--output=json")
    done = run(inventory, cube, *options, "--sweep=lr=good,bad", "--retries=1", "--retry-on=task")
    found = jobs(done, 1)
    assert [(job["status"], job["attempt"]) for job in found] == [("succeeded", 1), ("failed", 2)]
    require_one_image(host, done.stderr)
    again = subprocess.run(
        [*command(inventory, cube)[:3], "rerun", run_id, "--failed", "--output=json"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert [job["job"] for job in jobs(again, 3)] == ["02"]
    assert b"Creating SIF file" not in again.stderr


def test_two_clients_sweep_with_one_image(host: SshHost, inventory: Path, tmp_path: Path) -> None:
    cubes = [make_cube(tmp_path / "cube", train=TRAIN)]
    options = (f"--host={host.name}", "--task=train", QUICKLY, "--output=json")
    clients = [
        subprocess.Popen(
            command(inventory, cubes[0], *options, f"--sweep=lr={values}", "--wait"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for values in ("1,2", "3,4")
    ]
    said = [client.communicate(timeout=180) for client in clients]
    assert [client.returncode for client in clients] == [0, 0], said
    require_one_image(host, said[0][1] + said[1][1])
    made = sorted((cubes[0] / "results").rglob("model.txt"))
    assert [path.read_text() for path in made if "latest" not in path.parts].count("data\nlr: 4\n")


def test_each_job_gets_a_gpu_of_its_own(host: SshHost, inventory: Path, tmp_path: Path) -> None:
    name = "/usr/local/bin/nvidia-smi"
    program = f"cat >{name} <<'END'\n{NVIDIA_SMI}END\nchmod 755 {name}"
    assert host.exec(["sh", "-c", program]).exit_code == 0
    task = shell_task(
        'echo "$CUDA_VISIBLE_DEVICES" >"${1#*=}/gpu"; sleep 6',
        inputs={"settings": {**FILE, "default": "settings.yaml"}},
        outputs={"out": "out/"},
    )
    cube = make_cube(tmp_path / "cube", use=task)
    options = (f"--host={host.name}", "--gpus=1", QUICKLY, "--output=json")
    done = run(inventory, cube, *options, "--sweep=lr=1,2")
    assert len(jobs(done)) == 2
    made = {(results(cube) / f"0{number}" / "out/gpu").read_text() for number in (1, 2)}
    assert made == {"GPU-aa\n", "GPU-bb\n"}
