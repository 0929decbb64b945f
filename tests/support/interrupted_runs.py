# SPDX-License-Identifier: Apache-2.0
"""A task that counts, on a host behind a connection that the test can break."""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import attrs
import pytest
import yaml

from mlcube_remote.dispatch.run_context import FAST_VARIABLE
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.hosts import HostFactory, SshHost
from tests.support.waiting import wait_for
from tests.support.wire import Wire, wire_to

LINES = 40

COUNT = shell_task(
    'trap "exit 143" TERM; echo x >>"${0#*=}"; n=0; '
    f"while [ $n -lt {LINES} ]; do n=$((n+1)); "
    'echo "line $n"; echo "err $n" >&2; sleep 0.1; done; echo "$n" >"${1#*=}"',
    outputs={
        "runs": {**FILE, "default": "runs.txt"},
        "total": {**FILE, "default": "total.txt"},
    },
)

GATE = 10

GATED = shell_task(
    'trap "exit 143" TERM; echo x >>"${0#*=}"; n=0; '
    f"while [ $n -lt {LINES} ]; do n=$((n+1)); "
    'echo "line $n"; echo "err $n" >&2; '
    f'[ $n -ne {GATE} ] || while [ ! -e "$(dirname "${{0#*=}}")/go" ]; do sleep 0.1; done; '
    'done; echo "$n" >"${1#*=}"',
    outputs=COUNT["parameters"]["outputs"],
)
"""Waits in the middle until somebody lets it go on."""

EXPECTED = "".join(f"line {number}\n" for number in range(1, LINES + 1))

ERRORS = [f"err {number}" for number in range(1, LINES + 1)]

Completed = subprocess.CompletedProcess[str]


@attrs.frozen(kw_only=True)
class Scenario:
    """A host behind a wire, and a cube that counts on it."""

    host: SshHost
    wire: Wire
    cube: Path
    inventory: Path

    def argv(self, command: str, *arguments: str) -> list[str]:
        options = [f"--inventory={self.inventory}"]
        if command == "run":
            options += [f"--host={self.host.name}", f"--mlcube={self.cube}", "--task=count"]
        return [sys.executable, "-m", "mlcube_remote", command, *arguments, *options]

    def call(self, command: str, *arguments: str) -> Completed:
        return subprocess.run(
            self.argv(command, *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def client(self, command: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a client, which is gone when the block has ended."""
        started = subprocess.Popen(
            self.argv(command, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with started:
            try:
                yield started
            finally:
                started.kill()

    def go(self) -> None:
        """Let a gated task go on, as soon as it has started."""
        name = yaml.safe_load((self.cube / "mlcube.yaml").read_text())["name"]
        started = f".mlcube-remote/cubes/{name}-*/workspace/runs.txt"
        wait_for(lambda: list(self.host.home.glob(started)), seconds=60)
        newest = max(self.host.home.glob(started), key=lambda path: path.stat().st_mtime)
        newest.with_name("go").touch()

    def made(self, name: str) -> str:
        return (self.cube / "workspace" / name).read_text()

    def require_one_whole_run(self, done: Completed) -> None:
        """Every line once, one execution, the outputs here."""
        assert done.returncode == 0, done.stderr
        assert done.stdout == EXPECTED
        assert [line for line in done.stderr.splitlines() if line.startswith("err ")] == ERRORS
        assert self.made("total.txt") == f"{LINES}\n"
        assert self.made("runs.txt") == "x\n"


on_both_transports = pytest.mark.parametrize("scenario", ["paramiko", "openssh"], indirect=True)
"""For faults of the connection, which each SSH implementation must notice."""

_STEP_BY_STEP = "step-by-step"

on_all_paths = pytest.mark.parametrize(
    "scenario", ["paramiko", "openssh", _STEP_BY_STEP], indirect=True
)
"""For those that a run meets which waits for each step, too; see both_paths.py."""


@pytest.fixture
def scenario(
    ssh_host: HostFactory,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scenario]:
    transport = getattr(request, "param", "auto")
    if transport == _STEP_BY_STEP:
        transport = "auto"
        monkeypatch.setenv(FAST_VARIABLE, "0")
    host = ssh_host()
    cube = write_cube(tmp_path / "cube", {"count": COUNT})
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path, transport=transport)
        yield Scenario(host=host, wire=wire, cube=cube, inventory=inventory)


@pytest.fixture
def gated(scenario: Scenario, tmp_path: Path) -> Scenario:
    """Give a bench whose tasks wait for :meth:`Bench.go`."""
    # No other test has this name, so that the host's mirror of the cube can be found.
    name = f"probe-{secrets.token_hex(4)}"
    cube = write_cube(tmp_path / "gated", {"count": GATED}, name=name)
    return attrs.evolve(scenario, cube=cube)


def behind(host: SshHost, wire: Wire, folder: Path, **keys: Any) -> Path:
    """Write an inventory in which the host is reached through the wire."""
    described = yaml.safe_load(host.inventory.read_text())
    known = folder / "known_hosts"
    line = Path(described["hosts"][host.name]["known_hosts"]).read_text()
    known.write_text(re.sub(r"\]:\d+", f"]:{wire.port}", line))
    described["hosts"][host.name] |= {
        "port": wire.port,
        "known_hosts": str(known),
        "keepalive": 1,
        **keys,
    }
    path = folder / "hosts.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines until one has ``text``, and return them all."""
    assert stream is not None
    read = ""
    for line in stream:
        read += line
        if text in line:
            return read
    raise AssertionError(f"no {text!r} in {read!r}")


def read_client(client: subprocess.Popen[str], text: str) -> str:
    """Read a client's lines until one has ``text``; tell its messages where none has."""
    try:
        return read_until(client.stdout, text)
    except AssertionError as problem:
        raise AssertionError(f"{problem}: {finish(client).stderr}") from problem


def finish(client: subprocess.Popen[str], read: str = "") -> Completed:
    out, err = client.communicate(timeout=90)
    return Completed(client.args, client.returncode, read + out, err)


def run_id_in(text: str) -> str:
    found = re.search(r"\d{6}-\d{6}-[a-z2-7]{16}", text)
    assert found, text
    return found[0]


def break_for_a_while(wire: Wire) -> None:
    wire.cut()
    time.sleep(0.5)
    wire.restore()
