# SPDX-License-Identifier: Apache-2.0
"""What a task gets - parameters, mounts and secrets - and no more."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.runs.ids import new_run_id
from mlcube_remote.sandbox.engine import docker
from tests.support.command_line import command, on
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory
from tests.support.example_runs import WEIRD


@pytest.mark.parametrize("flavour", ["docker", "fish", "tcsh"])
def test_parameter_values_arrive_as_they_are(
    ssh_host: HostFactory, tmp_path: Path, flavour: str
) -> None:
    values = {f"p{index}": value for index, value in enumerate(WEIRD)}
    inputs = {name: {**FILE, "default": f"dir/{name}"} for name in values}
    task = shell_task(
        'for a; do printf "%s\\0" "$a"; done',
        inputs=inputs,
        outputs={"out": {"type": "directory", "default": "o"}},
    )
    cube = write_cube(tmp_path / "cube", {"show": task})
    files = {name: f"in/{value}" for name, value in values.items()}
    for value in files.values():
        (cube / "workspace" / value).parent.mkdir(parents=True, exist_ok=True)
        (cube / "workspace" / value).write_text("x")
    given = [f"{name}={value}" for name, value in files.items()]
    done = on(ssh_host(flavour), cube, "--task=show", *given)
    assert done.returncode == 0, done.stderr
    arrived = [word.decode() for word in done.stdout.split(b"\0")[:-1]]
    expected = [f"--{name}=/mlcube_io0/{value}" for name, value in values.items()]
    assert arrived[: len(expected) - 1] == expected[1:]


def test_paths_with_colons_and_commas_can_be_mounted(ssh_host: HostFactory, tmp_path: Path) -> None:
    task = shell_task(
        'cat "${0#*=}/f" >"${1#*=}/f"',
        inputs={"data": {"type": "directory", "default": "a:b,c"}},
        outputs={"out": {"type": "directory", "default": "x,y:z"}},
    )
    cube = write_cube(tmp_path / "cube", {"copy": task})
    (cube / "workspace/a:b,c").mkdir()
    (cube / "workspace/a:b,c/f").write_text("odd")
    done = on(ssh_host(), cube, "--task=copy")
    assert done.returncode == 0, done.stderr
    assert (cube / "workspace/x,y:z/f").read_text() == "odd"


CANARY = "canary-4f9a1c-secret"


def test_a_secret_reaches_the_container_and_nothing_else(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host(private=True)
    task = shell_task(
        'printf %s "$TOKEN" | sha256sum >"${0#*=}"; sleep 1',
        outputs={"digest": {**FILE, "default": "digest.txt"}},
    )
    cube = write_cube(tmp_path / "cube", {"use": task})
    seen: set[bytes] = set()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(process.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        done = on(host, cube, "--task=use", "--env=TOKEN", "--output=json", "-v", TOKEN=CANARY)
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stderr
    expected = subprocess.run(
        ["sha256sum"], input=CANARY.encode(), capture_output=True, check=True
    ).stdout
    assert (cube / "workspace/digest.txt").read_bytes() == expected
    assert any(b"docker\0run" in argv for argv in seen), "the run was watched"
    assert not [argv for argv in seen if CANARY.encode() in argv]
    assert CANARY.encode() not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if b" run use: docker run " in line]
    assert [b" -e TOKEN " in line for line in lines] == [True], "-v tells the command"
    leaked = subprocess.run(
        ["grep", "-rl", CANARY, str(host.home), str(tmp_path)], capture_output=True, check=False
    )
    assert leaked.stdout == b""
    shown = on(host, cube, "--task=use", "--env=TOKEN", "--dry-run", TOKEN=CANARY)
    assert shown.returncode == 0
    assert CANARY.encode() not in shown.stdout + shown.stderr


def test_a_value_on_the_command_line_is_refused(ssh_host: HostFactory, copy_cube: Path) -> None:
    done = on(ssh_host(), copy_cube, "--task=copy", "--env=TOKEN=abc")
    assert done.returncode == 2
    assert b"export TOKEN first" in done.stderr


def test_containers_carry_our_labels_and_no_privileges(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host()
    gate = 'until [ -e "${0#*=}/go" ]; do sleep 0.1; done'
    task = shell_task(gate, outputs={"out": "out/"})
    cube = write_cube(tmp_path / "cube", {"wait": task})
    run_id = new_run_id()
    running = subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", "--task=wait", f"--run-id={run_id}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    name = _wait_for_container(run_id)
    (about,) = json.loads(docker("inspect", name))
    (out,) = [mount["Source"] for mount in about["Mounts"]]
    Path(out, "go").touch()
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    labels = about["Config"]["Labels"]
    assert labels["org.mlcommons.mlcube-remote.task"] == "wait"
    assert about["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert about["HostConfig"]["LogConfig"]["Type"] == "none", "its log is kept once"
    assert not about["HostConfig"]["Privileged"]
    deadline = time.monotonic() + 20
    while docker("ps", "--all", "--quiet", "--filter", f"name={name}"):
        assert time.monotonic() < deadline, "the container is removed after the run"
        time.sleep(0.1)


def _wait_for_container(run_id: str) -> str:
    """Return the name of the run's container: hosts of other test sessions may have one name."""
    label = f"label=org.mlcommons.mlcube-remote.run={run_id}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        names = docker("ps", "--filter", label, "--format", "{{.Names}}").split()
        if names:
            return names[0]
        time.sleep(0.05)
    pytest.fail("no container appeared")
