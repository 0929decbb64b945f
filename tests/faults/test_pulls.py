# SPDX-License-Identifier: Apache-2.0
"""Outputs are pulled completely or not at all, and partial transfers are continued."""

from __future__ import annotations

import hashlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.support.both_paths import on_both_paths
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.interrupted_runs import (
    Scenario,
    behind,
    finish,
    on_both_transports,
    run_id_in,
)
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

SIZE = 30_000_000
MAKE = shell_task(
    f'head -c {SIZE} /dev/urandom >"${{0#*=}}"; echo made',
    outputs={"big": {**FILE, "default": "big.bin"}},
)


@pytest.fixture
def scenario(
    ssh_host: HostFactory, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    host = ssh_host()
    cube = write_cube(tmp_path / "cube", {"count": MAKE})
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path, transport=getattr(request, "param", "auto"))
        yield Scenario(host=host, wire=wire, cube=cube, inventory=inventory)


def there(scenario: Scenario) -> str:
    """Return the digest of what the host has."""
    every = scenario.host.home.glob(".mlcube-remote/cubes/probe-*/workspace/big.bin")
    made = max(every, key=lambda path: path.stat().st_mtime)
    return hashlib.sha256(made.read_bytes()).hexdigest()


def here(scenario: Scenario) -> str:
    return hashlib.sha256((scenario.cube / "workspace/big.bin").read_bytes()).hexdigest()


def rooms(scenario: Scenario) -> list[Path]:
    return list((scenario.cube / "workspace").glob(".mlcube-remote*"))


def let_half_of_it_come(scenario: Scenario) -> None:
    begin = scenario.wire.relayed
    deadline = time.monotonic() + 60
    while scenario.wire.relayed < begin + SIZE / 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@on_both_transports
def test_a_pull_that_is_cut_goes_on_where_it_was(scenario: Scenario) -> None:
    scenario.wire.rate = 15_000_000
    with scenario.client("run") as client:
        let_half_of_it_come(scenario)
        scenario.wire.cut()
        assert not (scenario.cube / "workspace/big.bin").exists()
        scenario.wire.rate = None
        scenario.wire.restore()
        done = finish(client)
    assert done.returncode == 0, done.stderr
    assert here(scenario) == there(scenario)
    assert scenario.wire.relayed < SIZE * 1.4, "most of the first half was not sent again"
    assert rooms(scenario) == []


def test_a_client_killed_while_it_pulls_leaves_nothing_half_done(scenario: Scenario) -> None:
    old = scenario.cube / "workspace/big.bin"
    old.write_text("of a former run")
    scenario.wire.rate = 15_000_000
    with scenario.client("run") as client:
        let_half_of_it_come(scenario)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    assert old.read_text() == "of a former run"
    scenario.wire.rate = None
    run_id = run_id_in(str(list(Path(scenario.cube.parent / "xdg").rglob("run.json"))))
    sent = scenario.wire.relayed
    done = scenario.call("pull", run_id)
    assert done.returncode == 0, done.stderr
    assert here(scenario) == there(scenario)
    assert scenario.wire.relayed - sent < SIZE * 0.8
    assert rooms(scenario) == []


def test_what_changes_while_it_is_pulled_is_called_incomplete(
    scenario: Scenario, tmp_path: Path
) -> None:
    task = shell_task(
        'trap "exit 143" TERM; while :; do echo xxxxxxxxxxxxxxxx; done >"${0#*=}"',
        outputs={"log": {**FILE, "default": "log.txt"}},
    )
    writing = attrs.evolve(scenario, cube=write_cube(tmp_path / "writing", {"count": task}))
    run_id = writing.call("run", "--detach").stdout.strip()
    try:
        pulled = writing.call("pull", run_id)
        assert pulled.returncode == 0, pulled.stderr
        assert "log.txt (incomplete)" in pulled.stderr
        lines = (writing.cube / "workspace/log.txt").read_text().splitlines()
        assert set(lines[:-1]) == {"x" * 16}
    finally:
        writing.call("stop", run_id)


@on_both_paths
def test_what_cannot_be_read_is_named_and_the_rest_comes_home(
    scenario: Scenario, tmp_path: Path
) -> None:
    task = shell_task(
        'echo open >"${0#*=}"; echo closed >"${1#*=}"; chmod 0000 "${1#*=}"',
        outputs={
            "fine": {**FILE, "default": "fine.txt"},
            "secret": {**FILE, "default": "secret.txt"},
        },
    )
    closed = attrs.evolve(scenario, cube=write_cube(tmp_path / "closed", {"count": task}))
    if scenario.host.exec(["stat", "-c", "%u", str(scenario.host.home)]).output.strip() == b"0":
        pytest.fail("the user of sandbox hosts must not be root")
    done = closed.call("run")
    assert done.returncode == 121
    assert "secret.txt" in done.stderr
    assert "Permission denied" in done.stderr
    assert (closed.cube / "workspace/fine.txt").read_text() == "open\n"
    assert not (closed.cube / "workspace/secret.txt").exists()


def test_one_output_of_several_is_pulled(scenario: Scenario, tmp_path: Path) -> None:
    task = shell_task(
        'echo 1 >"${0#*=}"; echo 2 >"${1#*=}"',
        outputs={
            "first": {**FILE, "default": "first.txt"},
            "second": {**FILE, "default": "second.txt"},
        },
    )
    two = attrs.evolve(scenario, cube=write_cube(tmp_path / "two", {"count": task}))
    run_id = two.call("run", "--detach").stdout.strip()
    assert two.call("wait", run_id).returncode == 0
    done = two.call("pull", run_id, "--only=second")
    assert done.returncode == 0, done.stderr
    assert two.made("second.txt") == "2\n"
    assert not (two.cube / "workspace/first.txt").exists()
    wrong = two.call("pull", run_id, "--only=third")
    assert wrong.returncode == 2
    assert "no output third" in wrong.stderr
    assert "it has: first, second" in wrong.stderr


@on_both_paths
def test_wait_reports_that_an_output_was_not_made(scenario: Scenario, tmp_path: Path) -> None:
    outputs = {
        "made": {**FILE, "default": "made.txt"},
        "never": {**FILE, "default": "never.txt"},
    }
    task = shell_task('echo 1 >"${0#*=}"', outputs=outputs)
    lacking = attrs.evolve(scenario, cube=write_cube(tmp_path / "lacking", {"count": task}))
    run_id = lacking.call("run", "--detach").stdout.strip()
    waited = lacking.call("wait", run_id)
    assert waited.returncode == 1, waited.stderr
    assert "exited 0 but did not produce its output never" in waited.stderr
    assert not (lacking.cube / "workspace/made.txt").exists(), "nothing was asked to come"
    assert lacking.call("logs", "--follow", run_id).returncode == 0


def test_what_a_killed_pull_left_does_not_stand_in_the_way(scenario: Scenario) -> None:
    run_id = scenario.call("run", "--detach").stdout.strip()
    assert scenario.call("wait", run_id).returncode == 0
    scenario.wire.rate = 15_000_000
    with scenario.client("pull", run_id) as client:
        let_half_of_it_come(scenario)
        (room,) = rooms(scenario)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    scenario.wire.rate = None
    # As an rsync leaves it that was killed itself.
    for partial in room.rglob(".mlcube-remote-partial"):
        shutil.rmtree(partial)
    done = scenario.call("pull", run_id)
    assert done.returncode == 0, done.stderr
    assert here(scenario) == there(scenario)
