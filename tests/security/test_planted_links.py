# SPDX-License-Identifier: Apache-2.0
"""Links that a cube ships to read the files of those who run it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command_line import command, on, run
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

SECRET = "canary-of-the-home-directory"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (".ssh/id_ed25519", ".aws/credentials", "private/.env"):
        (tmp_path / "home" / name).parent.mkdir(parents=True)
        (tmp_path / "home" / name).write_text(SECRET)
    (tmp_path / "home/private/photo.txt").write_text("photo")
    return tmp_path / "home"


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    task = shell_task('grep -r . "${0#*=}"; true', inputs={"data": "data/"})
    root = write_cube(tmp_path / "cube", {"read": task})
    (root / "workspace/data").mkdir()
    (root / "workspace/data/own").write_text("own")
    return root


def proc_environ(_home: Path) -> Path:
    return Path("/proc/self/environ")


PLANTED: list[Callable[[Path], Path]] = [
    lambda home: home / ".ssh/id_ed25519",
    lambda home: home / ".ssh",
    lambda home: home / ".aws/credentials",
    lambda home: home,
    lambda home: home.parent,
    proc_environ,
]


@pytest.mark.parametrize("target", PLANTED)
@pytest.mark.parametrize("way", ["straight", "by another link", "behind a link"])
def test_a_planted_link_opens_nothing(
    ssh_host: HostFactory, cube: Path, home: Path, target: Callable[[Path], Path], way: str
) -> None:
    host = ssh_host()
    planted = cube / "workspace/data/weights.bin"
    if way == "straight":
        planted.symlink_to(target(home))
    elif way == "by another link":
        (cube / "lib").symlink_to(target(home))
        planted.symlink_to("../../lib")
    else:
        (home.parent / "shared").mkdir()
        (home.parent / "shared/inner").symlink_to(target(home))
        planted.symlink_to(home.parent / "shared")
    for options in ((), ("--copy-links",)):
        done = on(host, cube, "--task=read", *options, HOME=str(home))
        assert done.returncode == 2, done.stderr
        assert SECRET.encode() not in done.stdout + done.stderr
    found = host.exec(["grep", "-rls", SECRET, str(host.home)])
    assert not found.output, "and nothing was sent"


def test_keys_in_a_directory_that_a_link_opens_stay_here(
    ssh_host: HostFactory, cube: Path, home: Path
) -> None:
    (cube / "workspace/data/more").symlink_to(home / "private")
    done = on(ssh_host(), cube, "--task=read", "--copy-links", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert b"photo" in done.stdout
    assert SECRET.encode() not in done.stdout
    assert str(home / "private").encode() in done.stderr, "where the link leads was shown"


def test_an_inventory_of_the_cube_cannot_allow_its_links(
    ssh_host: HostFactory, cube: Path, home: Path
) -> None:
    host = ssh_host()
    (cube / "workspace/data/more").symlink_to(home / "private")
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"][host.name]["copy_links"] = True
    (cube / "hosts.yaml").write_text(yaml.safe_dump({"hosts": {host.name: {"copy_links": True}}}))
    argv = command(host.inventory, cube, f"--host={host.name}", "--task=read")
    without = [word for word in argv if word not in {"--inventory", str(host.inventory)}]
    done = subprocess.run(without, capture_output=True, check=False, cwd=home)
    assert done.returncode == 2, done.stderr
    assert b"copy_links" in done.stderr
    mine = home.parent / "hosts.yaml"
    mine.write_text(yaml.safe_dump(described))
    done = run(mine, cube, f"--host={host.name}", "--task=read", HOME=str(home))
    assert done.returncode == 0, "the user's own inventory can"


def test_links_elsewhere_in_the_cube_are_never_followed(
    ssh_host: HostFactory, cube: Path, home: Path
) -> None:
    host = ssh_host(private=True)
    for number in range(300):
        (cube / f"l{number}").symlink_to(home / "private/photo.txt")
    done = on(host, cube, "--task=read", "--copy-links", HOME=str(home))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if b"not sent" in line]
    assert b"300 links" in line
    (mirror,) = host.home.glob(".mlcube-remote/cubes/*")
    assert not any(os.path.lexists(mirror / f"l{number}") for number in range(300))
