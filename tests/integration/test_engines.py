# SPDX-License-Identifier: Apache-2.0
"""What is promised of a task holds with every engine: how it ends, its secrets, that it stops."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import on, run
from tests.support.cubes import FILE, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

ENGINES = ("docker", "podman", "apptainer")

TASKS = {
    "fail": shell_task(
        "echo out; echo err >&2; echo left >${0#*=}; exit 7",
        outputs={"left": {**FILE, "default": "left.txt"}},
    ),
    "use": shell_task(
        'printf %s "$TOKEN" | sha256sum >${0#*=}',
        outputs={"digest": {**FILE, "default": "digest.txt"}},
    ),
    "carry": shell_task(
        'cat "${0#*=}/f" "${1#*=}/f" "${2#*=}" >"${3#*=}/f"',
        inputs={"colon": "a:b/", "comma": "c,d/", "there": "/replaced"},
        outputs={"out": "x:y/"},
    ),
    "linger": shell_task("echo started; sleep 4242", outputs={"out": "out/"}),
}


@pytest.fixture
def hosts(ssh_host: HostFactory) -> list[SshHost]:
    return [ssh_host(engine) for engine in ENGINES]


@pytest.fixture
def inventory(hosts: list[SshHost], inventory_of: Callable[..., Path]) -> Path:
    return inventory_of(*hosts)


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cube for all, so that its SIF file is built once."""
    return write_cube(tmp_path_factory.mktemp("cube"), TASKS)


def test_a_task_that_fails_tells_its_code_and_leaves_its_outputs(
    inventory: Path, cube: Path
) -> None:
    done = run(inventory, cube, "--host=all", "--task=fail", "--output=json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    ends = {job["platform"]: job["tasks"][0]["exit_code"] for job in document["jobs"]}
    assert ends == dict.fromkeys(ENGINES, 7)
    for line in (b" | out\n", b" | err\n"):
        assert done.stderr.count(line) == len(ENGINES)
    left = [path.read_text() for path in cube.glob("results/*/*/left.txt")]
    assert left == ["left\n"] * len(ENGINES)


def test_a_secret_reaches_the_task(inventory: Path, cube: Path) -> None:
    secret = "with 'quotes', $(commands) and  spaces"
    done = run(inventory, cube, "--host=all", "--task=use", "--env=TOKEN", TOKEN=secret)
    assert done.returncode == 0, done.stderr
    assert secret.encode() not in done.stdout + done.stderr
    arrived = [path.read_text().split()[0] for path in cube.glob("results/*/*/digest.txt")]
    assert arrived == [hashlib.sha256(secret.encode()).hexdigest()] * len(ENGINES)


def test_paths_that_engines_would_split_are_mounted(
    hosts: list[SshHost], inventory: Path, cube: Path
) -> None:
    for name in ("a:b", "c,d"):
        (cube / "workspace" / name).mkdir()
        (cube / "workspace" / name / "f").write_text(f"{name}\n")
    for host in hosts:
        # What it is, only the host can tell.
        (host.home / "e:f,g").write_text("there\n")
        there = f"there={host.home}/e:f,g"
        done = run(inventory, cube, f"--host={host.name}", "--task=carry", there)
        assert done.returncode == 0, done.stderr.decode()
        assert (cube / "workspace/x:y/f").read_text() == "a:b\nc,d\nthere\n"
        (cube / "workspace/x:y/f").unlink()


@pytest.mark.parametrize("flavour", ["docker", "podman"])
def test_a_recipe_of_the_hosts_own_is_built_there(
    ssh_host: HostFactory, tmp_path: Path, flavour: str
) -> None:
    host = ssh_host(flavour)
    project = host.home / "project"
    project.mkdir()
    (project / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo there >/word.txt\n")
    name = f"mlcube-remote-test/own-{flavour}:{project.stat().st_ino}"
    section = {"image": name, "build_strategy": "auto"}
    task = shell_task("cat /word.txt")
    cube = write_cube(tmp_path / "cube", {"say": task}, docker=section)
    try:
        own = f"-Pdocker.build_context={project}"
        done = on(host, cube, "--task=say", f"--platform={flavour}", own)
    finally:
        if flavour == "docker":  # whose engine is this machine's
            docker("rmi", "--force", name)
    assert (done.returncode, done.stdout) == (0, b"there\n"), done.stderr.decode()


def test_what_is_stopped_leaves_nothing_running(
    inventory: Path, cube: Path, hosts: list[SshHost]
) -> None:
    started = run(inventory, cube, "--host=all", "--task=linger", "--detach")
    assert started.returncode == 0, started.stderr
    run_id = started.stdout.decode().strip()

    def lingering(host: SshHost) -> bool:
        if host.name.startswith("docker"):  # its containers are the machine's
            label = f"label=org.mlcommons.mlcube-remote.run={run_id}"
            return bool(docker("ps", "--quiet", "--filter", label))
        return host.exec(["pgrep", "-f", "^sleep 4242"]).exit_code == 0

    deadline = time.monotonic() + 30
    while not all(map(lingering, hosts)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stop = [sys.executable, "-m", "mlcube_remote", "stop", run_id, "--grace=1s"]
    stopped = subprocess.run(
        [*stop, f"--inventory={inventory}"], capture_output=True, check=False, timeout=60
    )
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stderr.count(b"stopped on request") == len(ENGINES), stopped.stderr
    assert not any(map(lingering, hosts))


def test_a_container_that_podman_cannot_start_is_a_failure(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    cube = write_cube(tmp_path / "cube", {"fail": TASKS["fail"]})
    done = on(ssh_host("podman"), cube, "--task=fail", "--gpus=1")
    assert done.returncode == 122
    assert b"unresolvable CDI devices nvidia.com/gpu=0" in done.stderr
    assert b"podman cannot apply --gpus" in done.stderr


def test_a_host_on_which_tasks_end_with_the_login_is_reported(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("podman", private=True)
    cube = write_cube(tmp_path / "cube", {"fail": TASKS["fail"]})

    def message(change: str) -> bytes:
        assert host.exec(["sh", "-c", change]).exit_code == 0
        done = on(host, cube, "--task=fail")
        assert done.returncode == 7, done.stderr
        return done.stderr

    lingering = "/var/lib/systemd/linger"
    assert b"outlive" not in message("true"), "nothing ends it where there is no systemd"
    assert b"once: loginctl enable-linger mlcube" in message("mkdir -p /run/systemd/seats")
    assert b"outlive" not in message(f"mkdir -p {lingering} && touch {lingering}/mlcube")
    kills = "mkdir -p /etc/systemd && echo KillUserProcesses=yes >/etc/systemd/logind.conf"
    assert b"when you log out (KillUserProcesses=yes)" in message(kills)
