# SPDX-License-Identifier: Apache-2.0
"""The round trips of a run, and that a run which saves them misses no change."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.dispatch.run_context import FAST_VARIABLE
from tests.support.command_line import command, mirror
from tests.support.cubes import FILE, shell_task, write_cube
from tests.support.interrupted_runs import behind
from tests.support.wire import wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

MOST = 9
"""Round trips of a run that changes nothing, without that of the TCP connection."""

TRIES = 3
"""Maximum number of runs: a machine that is busy may lengthen a chain by another one's messages."""

ONE_CALL = b"start: nothing has changed since an earlier run"
"""What a run says that has asked and launched in one call."""

UNNECESSARY = {
    "mlcube_remote.dispatch": "build_steps configure image_sources output_tail packs saved_images "
    "ship",
    "mlcube_remote.facts": "shipped_images",
    "mlcube_remote.files": "image_files upload_tries",
    "mlcube_remote.jobs": "log_times",
    "mlcube_remote.plan": "sweep_points sweep_ranges sweep_samples sweep_targets trials",
    "mlcube_remote.runs": "compare expected_sources",
    "mlcube_remote.scheduling": "failure_limit pool scheduler",
    "mlcube_remote.transport": "askpass mux_session openssh_command openssh_link proxy "
    "rate_floor rsync_process rsync_relay standard_streams",
    "mlcube_remote.ui": "notification",
}
"""Room → modules that a run without changes does not need."""

MAKES = shell_task(
    'i=${0#*=}; o=${1#*=}; d=${2#*=}; cat "$i" >"$o"; chmod 750 "$o"; '
    'mkdir -p "$d/sub dir"; echo 1 >"$d/sub dir/ü"; : >"$d/empty"; echo made',
    inputs={"text": {**FILE, "default": "in.txt"}},
    outputs={"copy": {**FILE, "default": "out/copy.txt"}, "more": "more/"},
)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    cube = write_cube(tmp_path / "cube", {"make": MAKES})
    (cube / "workspace" / "in.txt").write_text("hello\n")
    return cube


def made(workspace: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return the content, time and mode of each file that the task makes."""
    files = [workspace / "out/copy.txt", *(workspace / "more").rglob("*")]
    return {
        path.relative_to(workspace).as_posix(): (
            path.read_bytes(),
            about.st_mtime_ns,
            about.st_mode,
        )
        for path in files
        if path.is_file()
        for about in [path.stat()]
    }


def test_a_run_without_changes_waits_for_few_round_trips(
    ssh_host: HostFactory, cube: Path, tmp_path: Path
) -> None:
    host = ssh_host()
    with wire_to(host.port) as wire:
        inventory = behind(host, wire, tmp_path, keepalive=30)
        argv = command(inventory, cube, f"--host={host.name}", "--task=make", "--verbose")
        subprocess.run(argv, check=True, timeout=120)
        wire.delay = 0.5
        for _ in range(TRIES):
            before = wire.round_trips
            done = subprocess.run(argv, check=True, timeout=120, capture_output=True)
            count = wire.round_trips - before
            assert ONE_CALL in done.stderr
            if count <= MOST:
                break
    assert count <= MOST


def test_a_run_without_changes_imports_only_what_it_needs(
    ssh_host: HostFactory, cube: Path
) -> None:
    host = ssh_host()
    argv = command(host.inventory, cube, f"--host={host.name}", "--task=make", "--verbose")
    subprocess.run(argv, check=True, timeout=120)
    env = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(argv, check=True, timeout=120, capture_output=True, env=env)
    assert ONE_CALL in done.stderr
    names = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert {"mlcube_remote.dispatch.unchanged", "paramiko"} <= names
    unnecessary = {f"{room}.{name}" for room, text in UNNECESSARY.items() for name in text.split()}
    assert not unnecessary & names


def test_a_change_here_or_there_is_never_missed(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    argv = command(host.inventory, cube, f"--host={host.name}", "--task=make", "--verbose")
    text, output = cube / "workspace/in.txt", cube / "workspace/out/copy.txt"

    def run(expected: str) -> bool:
        """Run the cube, and return whether one call was enough."""
        done = subprocess.run(argv, check=True, timeout=120, capture_output=True)
        assert output.read_text() == expected
        return ONE_CALL in done.stderr

    assert not run("hello\n"), "nothing is known yet"
    assert run("hello\n")
    about = text.stat()
    text.write_text("HELLO\n")
    os.utime(text, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert not run("HELLO\n"), "the file has another content"
    assert run("HELLO\n")
    there = mirror(host) / "workspace/in.txt"
    there.write_text("edit\n")
    assert not run("HELLO\n"), "the mirror was edited"
    assert run("HELLO\n")
    (mirror(host) / "more.yaml").write_text("a: 1\n")
    assert not run("HELLO\n"), "there is a file that only the host has"
    assert not (mirror(host) / "more.yaml").exists()
    saved = there.with_name("saved")
    shutil.copy2(there, saved)
    saved.replace(there)
    assert not run("HELLO\n"), "the file was restored from a copy"


@pytest.mark.parametrize("fast", ["1", "0"], ids=["fast", "one after the other"])
def test_outputs_are_the_same_with_and_without_the_fast_path(
    ssh_host: HostFactory, cube: Path, fast: str
) -> None:
    host = ssh_host(private=True)
    argv = command(host.inventory, cube, f"--host={host.name}", "--task=make")
    done = subprocess.run(
        argv, check=True, timeout=120, capture_output=True, env={**os.environ, FAST_VARIABLE: fast}
    )
    assert done.stdout == b"made\n"
    here = made(cube / "workspace")
    assert set(here) == {"out/copy.txt", "more/sub dir/ü", "more/empty"}
    there = made(mirror(host) / "workspace")
    assert {name: each[:2] for name, each in here.items()} == {
        name: each[:2] for name, each in there.items()
    }
    assert here["out/copy.txt"][2] & 0o700 == 0o700
