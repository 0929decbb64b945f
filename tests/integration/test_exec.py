# SPDX-License-Identifier: Apache-2.0
"""``exec`` and ``shell`` enter the container of a running task, with every engine and transport."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import yaml

from tests.support.cubes import shell_task, write_cube
from tests.support.hosts import HostFactory, SshHost
from tests.support.interrupted_runs import run_id_in
from tests.support.terminal import ClientOnTerminal

PROGRAM = [sys.executable, "-m", "mlcube_remote"]
TASK = shell_task(
    'trap "exit 0" TERM; export FROM_TASK=yes; touch /tmp/inside; sleep 600 & wait',
    outputs={"out": "out/"},
)

Completed = subprocess.CompletedProcess[bytes]


@attrs.frozen
class Run:
    """A run whose task waits."""

    host: SshHost
    run_id: str
    state: Path
    """The client's state directory."""

    def exec(self, *command: str, stdin: bytes = b"") -> Completed:
        argv = [*PROGRAM, "exec", self.run_id, "--", *command]
        return subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=60)


def start(host: SshHost, cube: Path, inventory: Path) -> Run:
    state = inventory.parent / "state"
    argv = [*PROGRAM, "run", f"--inventory={inventory}", f"--mlcube={cube}", "--detach"]
    done = subprocess.run(
        [*argv, f"--host={host.name}", "--task=wait"],
        capture_output=True,
        check=True,
        timeout=120,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
    )
    return Run(host, run_id_in(done.stdout.decode()), state)


def stop(run: Run) -> None:
    argv = [*PROGRAM, "stop", "--grace=1s", run.run_id]
    environment = {**os.environ, "XDG_STATE_HOME": str(run.state)}
    subprocess.run(argv, capture_output=True, check=True, timeout=60, env=environment)


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube"), {"wait": TASK})


@pytest.fixture(scope="module", params=["docker", "podman", "apptainer", "docker by ssh"])
def started(
    request: pytest.FixtureRequest,
    ssh_host: HostFactory,
    cube: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    engine, _, transport = request.param.partition(" by ")
    host = ssh_host(engine)
    document = yaml.safe_load(host.inventory.read_text())
    if transport:
        document["hosts"][host.name]["transport"] = "openssh"
    inventory = tmp_path_factory.mktemp("inventory") / "hosts.yaml"
    inventory.write_text(yaml.safe_dump(document))
    found = start(host, cube, inventory)
    yield found
    stop(found)


@pytest.fixture
def run(started: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("XDG_STATE_HOME", str(started.state))
    return started


def test_a_command_has_the_files_streams_and_code_of_the_container(run: Run) -> None:
    script = 'cat; test -e /tmp/inside && echo "inside as $(id -u)"; echo err >&2; exit 7'
    done = run.exec("sh", "-c", script, stdin=b"typed\0\xff\n" + b"x" * 300_000)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(b"typed\0\xff\nxxx")
    assert done.stdout.count(b"x") == 300_000
    assert b"inside as" in done.stdout
    assert done.stderr.endswith(b"err\n")


def test_words_arrive_as_they_are(run: Run) -> None:
    words = ["it's", 'a "b" $HOME `id` \\ !x %s', "two\nlines", "ä*?", ""]
    done = run.exec("printf", "%s|", *words)
    assert (done.returncode, done.stdout.decode()) == (0, "".join(f"{word}|" for word in words))


def test_a_shell_has_the_terminal(run: Run, request: pytest.FixtureRequest) -> None:
    client = ClientOnTerminal([*PROGRAM, "shell", run.run_id], size=(33, 101))
    request.addfinalizer(client.kill)
    client.type("test -e /tmp/inside && echo in''side\r")
    client.wait_for("inside")
    # Docker sets the size a moment after the start.
    client.type("until stty size | grep '33 1''01'; do sleep 0.2; done\r")
    client.wait_for("33 101")
    client.resize(44, 122)
    client.type(
        'sh -c \'trap "echo inter""rupted; exit" INT; echo wai""ts; while :; do sleep 0.2; done\'\r'
    )
    client.wait_for("waits")
    client.type("\x03")
    client.wait_for("interrupted")
    # The echo of the command itself must not match.
    client.type("until stty size | grep '44 1''22'; do sleep 0.2; done; exit 5\r")
    client.wait_for("44 122")
    assert client.end() == 5
    state = subprocess.run(
        [*PROGRAM, "status", run.run_id], capture_output=True, check=False, timeout=60
    )
    assert b"running" in state.stdout + state.stderr


def test_after_its_end_a_run_cannot_be_entered(ssh_host: HostFactory, tmp_path: Path) -> None:
    host = ssh_host("docker")
    cube = write_cube(tmp_path / "cube", {"end": shell_task("true")})
    argv = [*PROGRAM, "run", f"--inventory={host.inventory}", f"--mlcube={cube}"]
    ended = subprocess.run(
        [*argv, f"--host={host.name}", "--task=end", "--output=json"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    run_id = run_id_in(ended.stdout.decode())
    done = Run(host, run_id, Path(os.environ["XDG_STATE_HOME"])).exec("true")
    assert done.returncode == 122
    assert f"mlcube-remote logs {run_id}" in done.stderr.decode()
