# SPDX-License-Identifier: Apache-2.0
"""Inputs with links, on real hosts: all their data arrives, or the run is refused before it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import mirror, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

LIST = shell_task(
    'cd "${0#*=}" && find -L . -type f | sort',
    inputs={"data": "data/"},
    outputs={"out": "out/"},
)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = write_cube(tmp_path / "cube", {"list": LIST})
    (root / "workspace/data").mkdir()
    (root / "workspace/data/own.bin").write_text("own")
    (tmp_path / "big/train").mkdir(parents=True)
    (tmp_path / "big/train/a.bin").write_text("a")
    return root


def option_of(hint: bytes) -> str:
    """Return the option, or the parameter, that a hint offers."""
    line = next(line for line in hint.decode().splitlines() if "hint: " in line)
    words = shlex.split(line.replace(";", " ").replace(",", " "))
    return next(word for word in words if word.startswith("--") or "=local:" in word)


def test_the_links_of_an_input_are_refused_then_sent(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    for number in range(2000):
        (cube / f"workspace/data/l{number}").symlink_to(cube.parent / "big/train/a.bin")
    (cube / "workspace/data/train").symlink_to(cube.parent / "big/train")
    done = on(host, cube, "--task=list")
    assert done.returncode == 2, done.stderr
    assert b"2001 links" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert host.logins() == 0, "no host was asked"
    done = on(host, cube, "--task=list", option_of(done.stderr))
    assert done.returncode == 0, done.stderr
    found = done.stdout.decode().split()
    assert len(found) == 2002
    assert {"./own.bin", "./train/a.bin", "./l1999"} <= {*found}
    assert b"/big/train" in done.stderr, "where the links lead is shown"
    again = on(host, cube, "--task=list", "--copy-links")
    assert again.stdout == done.stdout


def test_an_input_that_is_a_link_itself(ssh_host: HostFactory, cube: Path) -> None:
    (cube / "workspace/data/own.bin").unlink()
    (cube / "workspace/data").rmdir()
    (cube / "workspace/data").symlink_to(cube.parent / "big")
    done = on(ssh_host(), cube, "--task=list")
    assert done.returncode == 2
    for option in (option_of(done.stderr), "--copy-links"):
        done = on(ssh_host(), cube, "--task=list", option)
        assert (done.returncode, done.stdout) == (0, b"./train/a.bin\n"), done.stderr


def test_a_workspace_on_another_disk(ssh_host: HostFactory, cube: Path) -> None:
    (cube / "workspace").rename(cube.parent / "ws")
    (cube / "workspace").symlink_to(cube.parent / "ws")
    done = on(ssh_host(), cube, "--task=list")
    assert done.returncode == 2
    option = option_of(done.stderr)
    assert option == f"--workspace={cube.parent / 'ws'}"
    done = on(ssh_host(), cube, "--task=list", option)
    assert (done.returncode, done.stdout) == (0, b"./own.bin\n"), done.stderr


def test_links_that_stay_inside_arrive_as_relative_links(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    data = cube / "workspace/data"
    (data / "deep").mkdir()
    (data / "deep/absolute").symlink_to(data / "own.bin")
    (data / "deep/climbing").symlink_to("../../../../cube/workspace/data/own.bin")
    (data / "deep/plain").symlink_to("../own.bin")
    (cube / "code").symlink_to(cube / "workspace")
    (cube / "gone").symlink_to("/nowhere")
    for _ in range(2):
        done = on(host, cube, "--task=list")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 4
        there = mirror(host) / "workspace/data/deep"
        assert {os.readlink(there / name) for name in os.listdir(there)} == {"../own.bin"}
        assert os.readlink(mirror(host) / "code") == "workspace"
        assert b"not sent: gone: a link that leads out of the cube or to nothing" in done.stderr


def test_links_in_a_local_directory(ssh_host: HostFactory, cube: Path) -> None:
    mine = cube.parent / "mine"
    mine.mkdir()
    (mine / "train").symlink_to(cube.parent / "big/train")
    done = on(ssh_host(), cube, "--task=list", f"data=local:{mine}")
    assert done.returncode == 2
    done = on(ssh_host(), cube, "--task=list", f"data=local:{mine}", option_of(done.stderr))
    assert (done.returncode, done.stdout) == (0, b"./train/a.bin\n"), done.stderr


def test_sparse_files_and_hard_links_stay_what_they_are(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    data = cube / "workspace/data"
    with (data / "sparse").open("wb") as file:
        file.truncate(200_000_000)
    os.link(data / "own.bin", data / "same.bin")
    assert on(host, cube, "--task=list").returncode == 0
    there = mirror(host) / "workspace/data"
    assert (there / "sparse").stat().st_blocks * 512 < 1_000_000
    assert (there / "own.bin").stat().st_ino == (there / "same.bin").stat().st_ino
