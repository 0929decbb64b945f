# SPDX-License-Identifier: Apache-2.0
"""Engines that are restarted under a task, logs that are large, and disks that are full."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.both_paths import on_both_paths
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.interrupted_runs import (
    COUNT,
    GATE,
    GATED,
    Scenario,
    behind,
    finish,
    read_client,
)
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory


@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_an_engine_that_was_restarted_is_no_failure_of_the_task(
    ssh_host: HostFactory, tmp_path: Path, how: str
) -> None:
    host = ssh_host("nested", private=True)
    cube = write_cube(tmp_path / "cube", {"count": GATED})
    with wire_to(host.port) as wire:
        scenario = Scenario(host=host, wire=wire, cube=cube, inventory=behind(host, wire, tmp_path))
        with scenario.client("run") as client:
            read_client(client, f"line {GATE}\n")
            restart = (
                f"pkill -{how} -x dockerd; while pgrep -x dockerd; do sleep 0.2; done; "
                "rm -f /var/run/docker.pid; setsid dockerd --group engine >/dev/null 2>&1 &"
            )
            host.exec(["sh", "-c", restart])
            done = finish(client)
    assert done.returncode != 0
    assert "killed" in done.stderr, done.stderr
    assert "the engine was stopped or restarted while it ran" in done.stderr


@pytest.fixture
def scenario(ssh_host: HostFactory, tmp_path: Path) -> Iterator[Scenario]:
    host = ssh_host()
    with wire_to(host.port) as wire:
        yield Scenario(
            host=host, wire=wire, cube=tmp_path / "cube", inventory=behind(host, wire, tmp_path)
        )


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had so far, in KiB."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("size", "line"),
    [(1_000_000_000, b"x" * 1000), (990_000_000, b"x" * 99 + b"\n")],
    ids=["one line", "many lines"],
)
def test_a_large_log_is_whole_and_costs_the_client_no_memory(
    scenario: Scenario, size: int, line: bytes
) -> None:
    fold = "| fold -w 99" if line.endswith(b"\n") else ""
    program = f'head -c {size} /dev/zero | tr "\\0" x {fold}; echo end'
    write_cube(scenario.cube, {"count": shell_task(program, outputs={})})
    expected = hashlib.sha256()
    for _ in range(size // line.count(b"x") - 1):
        expected.update(line)
    expected.update(line.rstrip(b"\n") + b"end\n")
    digest, memory = hashlib.sha256(), 0
    with subprocess.Popen(
        scenario.argv("run"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as client:
        assert client.stdout is not None
        while data := os.read(client.stdout.fileno(), 1 << 20):
            digest.update(data)
            memory = peak_memory(client.pid)
    assert client.returncode == 0
    assert digest.digest() == expected.digest()
    assert memory < 150_000, "an interpreter with paramiko included"


@on_both_paths
def test_a_log_of_any_bytes_comes_as_it_is(scenario: Scenario) -> None:
    program = 'head -c 300000 /dev/urandom | tee "${0#*=}"; printf "\\r1%%\\r2%%\\033[2J"'
    outputs = {"same": {**FILE, "default": "same.bin"}}
    write_cube(scenario.cube, {"count": shell_task(program, outputs=outputs)})
    done = subprocess.run(scenario.argv("run"), capture_output=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    same = (scenario.cube / "workspace/same.bin").read_bytes()
    assert len(same) == 300_000
    assert done.stdout == same + b"\r1%\r2%\033[2J"


_TOO_MUCH = "head -c 300000000 /dev/zero | tail"
"""Reads 300 MB to the end of a line that never comes."""


@pytest.mark.parametrize(
    ("program", "code", "message"),
    [
        ("exec tail </dev/zero", 137, "killed"),
        (f"{_TOO_MUCH}; exit 3", 3, "a process inside was killed: out of memory"),
    ],
    ids=["the program", "its child"],
)
def test_memory_that_runs_out_is_reported(
    scenario: Scenario, program: str, code: int, message: str
) -> None:
    write_cube(scenario.cube, {"count": shell_task(program, outputs={})})
    # Where the cgroup is gone before containerd has read of it, the engine itself never hears why:
    # no one could tell then. It is rare, and a matter of luck.
    for _ in range(4):
        done = scenario.call("run", "--memory=32m")
        assert done.returncode == code, done.stderr
        if message in done.stderr:
            break
    assert message in done.stderr
    assert re.search("out.of.memory", done.stderr)


@on_both_paths
def test_a_disk_that_fills_up_on_the_host_hides_no_exit_code(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("tiny-disk", private=True)
    task = shell_task("head -c 100000000 /dev/zero; exit 5", outputs={})
    cube = write_cube(tmp_path / "cube", {"count": task})
    with wire_to(host.port) as wire:
        scenario = Scenario(host=host, wire=wire, cube=cube, inventory=behind(host, wire, tmp_path))
        done = subprocess.run(scenario.argv("run"), capture_output=True, check=False, timeout=90)
    assert done.returncode == 5, done.stderr
    assert b"the log is incomplete" in done.stderr


def test_a_disk_that_a_sync_fills_is_given_its_room_back(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("tiny-disk", private=True)
    cube = write_cube(tmp_path / "cube", {"count": COUNT})
    large = cube / "workspace/large.bin"
    large.write_bytes(os.urandom(40_000_000))
    with wire_to(host.port) as wire:
        scenario = Scenario(host=host, wire=wire, cube=cube, inventory=behind(host, wire, tmp_path))
        refused = scenario.call("run")
        assert refused.returncode == 121, refused.stderr
        assert "No space left on device" in refused.stderr
        expected = r"needed: 2 files, 40\.0 MB; partial files were removed \(2\d\.\d MB free\)"
        assert re.search(expected, refused.stderr)
        assert refused.stdout == ""
        large.unlink()
        scenario.require_one_whole_run(scenario.call("run"))
        host.exec(["sh", "-c", f"cat /dev/zero >{host.home}/others"])
        full = scenario.call("run")
    assert full.returncode == 122, full.stderr
    assert "is the host's disk full? mlcube-remote hosts check" in full.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_here_leaves_the_outputs_there(
    scenario: Scenario, tmp_path: Path
) -> None:
    task = shell_task(
        'head -c 30000000 /dev/urandom >"${0#*=}"', outputs={"big": {**FILE, "default": "b.bin"}}
    )
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)], check=True)
    try:
        write_cube(scenario.cube, {"count": task})
        run_id = scenario.call("run", "--detach", f"--workspace={small}").stdout.strip()
        assert scenario.call("wait", run_id).returncode == 0
        done = scenario.call("pull", run_id)
        assert done.returncode == 121
        assert "larger than this machine's free disk space" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert scenario.call("pull", run_id).returncode == 0
    assert (small / "b.bin").stat().st_size == 30_000_000


def test_output_that_nobody_reads_any_more_does_not_end_the_run(scenario: Scenario) -> None:
    write_cube(scenario.cube, {"count": COUNT})
    argv = " ".join(f"'{word}'" for word in scenario.argv("run"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {argv} | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "line 1\n"
    assert (scenario.cube / "workspace/total.txt").read_text() == "40\n"
