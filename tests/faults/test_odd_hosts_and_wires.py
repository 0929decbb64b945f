# SPDX-License-Identifier: Apache-2.0
"""Slow wires, wrong clocks, full or strange homes, and cubes that do not hold still."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.interrupted_runs import (
    COUNT,
    Scenario,
    behind,
    finish,
    on_both_transports,
)
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    return write_cube(tmp_path / "cube", {"count": COUNT})


def plain(host: SshHost, cube: Path, folder: Path, transport: str = "auto") -> Iterator[Scenario]:
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, folder, transport=transport)
        yield Scenario(host=host, wire=wire, cube=cube, inventory=inventory)


@pytest.fixture
def noexec(ssh_host: HostFactory, cube: Path, tmp_path: Path) -> Iterator[Scenario]:
    yield from plain(ssh_host("noexec-home"), cube, tmp_path)


@pytest.fixture
def few_inodes(ssh_host: HostFactory, cube: Path, tmp_path: Path) -> Iterator[Scenario]:
    yield from plain(ssh_host("few-inodes"), cube, tmp_path)


@pytest.fixture
def skewed(ssh_host: HostFactory, cube: Path, tmp_path: Path) -> Iterator[Scenario]:
    # Not the daemon itself: its own confinement does not let it look for the file.
    preload = "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1"
    yield from plain(ssh_host(private=True, SetEnv=preload), cube, tmp_path)


@pytest.fixture
def scenario(
    ssh_host: HostFactory, cube: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    yield from plain(ssh_host(), cube, tmp_path, getattr(request, "param", "auto"))


@on_both_transports
def test_a_slow_and_lossy_wire_is_not_taken_for_a_dead_one(
    scenario: Scenario, tmp_path: Path
) -> None:
    written = yaml.safe_load(scenario.inventory.read_text())
    transport = written["hosts"][scenario.host.name]["transport"]
    scenario.wire.delay, scenario.wire.loss = 1.0, 0.05
    # A round trip of two seconds, of four where a segment is lost: three keepalives are more.
    keys = {"keepalive": 3, "connect_timeout": 20, "transport": transport}
    slow = attrs.evolve(scenario, inventory=behind(scenario.host, scenario.wire, tmp_path, **keys))
    done = slow.call("run")
    slow.require_one_whole_run(done)
    assert "reconnecting" not in done.stderr
    assert scenario.wire.accepted == 1


def set_clock(host: SshHost, offset: str) -> None:
    """Let every process that is started on the host from now on see another time."""
    assert host.exec(["sh", "-c", f"echo '{offset}' >/etc/faketimerc"]).exit_code == 0


@pytest.mark.parametrize(("offset", "said"), [("+10m", "ahead of"), ("-10m", "behind")])
def test_a_host_whose_clock_is_wrong_is_reported_and_loses_nothing(
    skewed: Scenario, offset: str, said: str
) -> None:
    set_clock(skewed.host, offset)
    done = skewed.call("run", "--timeout=60")
    skewed.require_one_whole_run(done)
    assert re.search(rf"the host's clock is (59\d|60\d) s {said} this machine's", done.stderr)
    listed = skewed.call("ps", "--all")
    assert re.search(r" \d{1,2}s ", listed.stdout), f"an age of seconds: {listed.stdout}"


def test_a_clock_that_jumps_while_a_task_runs_ends_nothing(skewed: Scenario) -> None:
    with skewed.client("run", "--timeout=60") as client:
        time.sleep(2)
        set_clock(skewed.host, "+2h")
        time.sleep(1)
        set_clock(skewed.host, "-2h")
        done = finish(client)
    skewed.require_one_whole_run(done)


def test_a_disk_without_room_for_names_is_reported_in_the_systems_words(
    few_inodes: Scenario,
) -> None:
    for number in range(200):
        (few_inodes.cube / f"file{number}").write_text("x")
    done = few_inodes.call("run")
    assert done.returncode == 121, done.stderr
    assert "No space left on device" in done.stderr
    assert "df -i" in done.stderr
    assert done.stdout == ""


def test_nothing_is_executed_below_the_home(noexec: Scenario) -> None:
    noexec.require_one_whole_run(noexec.call("run"))


def test_a_cube_that_changes_while_it_is_sent_arrives_as_it_is_in_the_end(
    scenario: Scenario, tmp_path: Path
) -> None:
    size = 20_000_000
    digest = shell_task(
        'cd "$(dirname "${0#*=}")" && sha256sum <big.bin >"${0#*=}"',
        outputs={"sum": {**FILE, "default": "sum.txt"}},
    )
    cube = write_cube(tmp_path / "changing", {"count": digest})
    big = cube / "workspace/big.bin"
    big.write_bytes(os.urandom(size))
    changing = attrs.evolve(scenario, cube=cube)
    scenario.wire.rate = 10_000_000
    with changing.client("run") as client:
        deadline = time.monotonic() + 60
        while scenario.wire.relayed < size / 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with big.open("r+b") as file:
            file.write(os.urandom(size // 4))
            file.seek(-size // 4, os.SEEK_END)
            file.write(os.urandom(size // 4))
        scenario.wire.rate = None
        done = finish(client)
    assert done.returncode == 0, done.stderr
    checksum = changing.made("sum.txt").split()[0]
    assert checksum == hashlib.sha256(big.read_bytes()).hexdigest()
