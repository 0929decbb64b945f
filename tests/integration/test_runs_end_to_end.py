# SPDX-License-Identifier: Apache-2.0
"""Whole runs on real hosts, the way a user starts them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import command, on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


def test_outputs_come_home_into_the_workspace(ssh_host: HostFactory, copy_cube: Path) -> None:
    done = on(ssh_host(), copy_cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello\n"
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    assert not list((copy_cube / "workspace").glob(".mlcube-remote*"))


@pytest.mark.parametrize("flavour", ["fish", "tcsh", "busybox", "noisy", "one-session"])
def test_any_login_shell_will_do(ssh_host: HostFactory, copy_cube: Path, flavour: str) -> None:
    done = on(ssh_host(flavour), copy_cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello\n"
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"


def test_tasks_run_in_order_until_one_fails(ssh_host: HostFactory, tmp_path: Path) -> None:
    say = {"outputs": {"out": "out/"}}
    cube = write_cube(
        tmp_path / "cube",
        {
            "first": shell_task("echo one; echo one >${0#*=}/one", **say),
            "second": shell_task("echo two; echo left >${0#*=}/left; exit 7", **say),
            "third": shell_task("echo three", **say),
        },
    )
    done = on(ssh_host(), cube, "--task=first,second,third", "--output=json")
    assert done.returncode == 7
    document = json.loads(done.stdout)
    (job,) = document["jobs"]
    assert [(task["task"], task["status"], task["exit_code"]) for task in job["tasks"]] == [
        ("first", "succeeded", 0),
        ("second", "failed", 7),
        ("third", "not-started", None),
    ]
    assert document["exit_code"] == 7
    assert (cube / "workspace/out/left").read_text() == "left\n", "what a failed task left"
    assert b"one\n" in done.stderr


def test_a_missing_output_is_a_failure(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task("true", outputs={"model": {**FILE, "default": "model.bin"}})
    cube = write_cube(tmp_path / "cube", {"train": task})
    done = on(ssh_host(), cube, "--task=train")
    assert done.returncode == 1
    assert b"did not produce its output model" in done.stderr
    quiet = on(ssh_host(), cube, "--task=train", "--quiet")
    said = f"error: {ssh_host().name}: train: exited 0 but did not produce its output model"
    error, logs, rerun = quiet.stderr.decode().splitlines()
    assert (quiet.returncode, error) == (1, said)
    assert "mlcube-remote logs" in logs
    assert "mlcube-remote rerun" in rerun


def test_a_dry_run_touches_nothing(copy_cube: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yaml"
    inventory.write_text("hosts: {gone: {address: 127.0.0.1, port: 1}}")
    done = run(inventory, copy_cube, "--host=gone", "--task=copy", "--dry-run", "--output=json")
    assert done.returncode == 0, done.stderr
    (job,) = json.loads(done.stdout)["jobs"]
    assert set(job) == {"host", "platform", "task", "configure", "run", "creates", "launch"}
    assert job["run"][-1][:2] == ["docker", "run"]
    assert job["configure"] == [["docker", "pull", BASE_IMAGE]]
    text = run(inventory, copy_cube, "--host=gone", "--task=copy", "--dry-run").stdout.decode()
    assert "docker run --entrypoint=/bin/sh --volume ~/.mlcube-remote/cubes/" in text
    assert not (copy_cube / "workspace/out").exists()


def test_this_machine_is_a_host_too(copy_cube: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(f"hosts: {{local: {{remote_root: {tmp_path}/root}}}}")
    done = run(tmp_path / "hosts.yaml", copy_cube, "--host=local", "--task=copy")
    assert done.returncode == 0, done.stderr
    assert (copy_cube / "workspace/out/copy.txt").read_text() == "hello\n"
    assert b"docker run" not in done.stderr


def test_a_dead_host_does_not_hold_up_the_others(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], copy_cube: Path
) -> None:
    inventory = inventory_of(ssh_host("docker"), ssh_host("dash"))
    described = yaml.safe_load(inventory.read_text())
    described["hosts"]["dead"] = {"address": "127.0.0.1", "port": 1}
    inventory.write_text(yaml.safe_dump(described))
    done = run(inventory, copy_cube, "--host=all", "--task=copy", "--output=json")
    assert done.returncode == 120
    states = {job["host"]: job["status"] for job in json.loads(done.stdout)["jobs"]}
    assert states.pop("dead") == "not-started"
    assert set(states.values()) == {"succeeded"}


def test_two_names_of_one_machine_take_turns(ssh_host: HostFactory, copy_cube: Path) -> None:
    host = ssh_host(private=True)
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"]["again"] = described["hosts"][host.name]
    inventory = copy_cube / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(described))
    done = run(inventory, copy_cube, "--host=all", "--task=copy")
    assert done.returncode == 0, done.stderr
    assert b"shares its remote_root with" in done.stderr


def test_an_interrupt_stops_the_task(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host()
    task = shell_task(
        'trap "echo stopped; exit 3" TERM; echo ready; sleep 60 & wait', outputs={"out": "out/"}
    )
    cube = write_cube(tmp_path / "cube", {"wait": task})
    running = subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", "--task=wait", "--output=json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stderr is not None
    while b"ready" not in running.stderr.readline():
        pass
    running.send_signal(signal.SIGINT)
    output, messages = running.communicate(timeout=60)
    assert running.returncode == 130, messages
    (job,) = json.loads(output)["jobs"]
    assert job["status"] == "cancelled"
    assert b"stopped" in messages
