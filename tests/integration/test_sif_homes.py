# SPDX-License-Identifier: Apache-2.0
"""Tasks on Apptainer have a home, a ``/tmp`` and a working directory, and not those of the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command_line import on, run
from tests.support.cubes import QUICKLY, shell_task, write_cube, write_sif_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

LOOK = shell_task(
    'o=${0#*=}; for d in "$HOME" /tmp /var/tmp . ~root; do touch "$d/mark" && echo "writes $d"; '
    'done >"$o/written" 2>&1; cat "$HOME/secret" /tmp/secret >"$o/seen" 2>&1; '
    'echo "$HOME" >"$o/home"; pwd >>"$o/home"; (cd /tmp && test -w . && TMPDIR=/tmp mktemp)',
    outputs={"out": "out/"},
)
OPTIONS = ("--task=look", "--platform=apptainer", QUICKLY)


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    host = ssh_host("apptainer")
    (host.home / "secret").write_text("secret of the user")
    host.exec(["sh", "-c", "echo 'secret of the user' >/tmp/secret; chmod 644 /tmp/secret"])
    host.exec(["sh", "-c", "rm -f /tmp/mark /var/tmp/mark"])
    (host.home / "mark").unlink(missing_ok=True)
    return host


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    return write_sif_cube(tmp_path / "cube", {"look": LOOK})


def marks(host: SshHost) -> bytes:
    """Return the files that a task left in directories of the user."""
    find = f"ls {host.home}/mark /tmp/mark /var/tmp/mark 2>/dev/null"
    return host.exec(["sh", "-c", find]).output


def test_a_task_writes_to_a_home_of_its_own(host: SshHost, cube: Path) -> None:
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 0, done.stderr.decode()
    out = cube / "workspace/out"
    home = (out / "home").read_text().split()
    assert home == [str(host.home), str(host.home)], "the path is the user's"
    written = (out / "written").read_text()
    for place in (home[0], "/tmp", "/var/tmp", "."):
        assert f"writes {place}\n" in written
    assert "secret of the user" not in (out / "seen").read_text()
    assert marks(host) == b""
    left = list(host.home.glob(".mlcube-remote/jobs/*/private/*"))
    assert left == [], "removed at the end"


def test_root_in_the_container_has_a_home_too(host: SshHost, cube: Path) -> None:
    done = on(host, cube, *OPTIONS, "-Psingularity.run_args=--fakeroot")
    assert done.returncode == 0, done.stderr.decode()
    out = cube / "workspace/out"
    assert (out / "home").read_text().split() == ["/root", "/root"]
    assert "writes /root\n" in (out / "written").read_text()
    assert "secret of the user" not in (out / "seen").read_text()
    assert marks(host) == b""


def test_the_inventory_can_show_tasks_the_users_home(
    host: SshHost, cube: Path, inventory_of: Callable[..., Path]
) -> None:
    inventory = inventory_of(host)
    described = yaml.safe_load(inventory.read_text())
    described["hosts"][host.name]["singularity"] = {"private_home": False}
    inventory.write_text(yaml.safe_dump(described))
    done = run(inventory, cube, f"--host={host.name}", *OPTIONS)
    assert done.returncode == 0, done.stderr.decode()
    assert "secret of the user" in (cube / "workspace/out/seen").read_text()
    assert b"/tmp/mark" in marks(host)


@pytest.mark.parametrize("run_args", ["--no-home", "--contain", "-C", "--no-mount home,tmp"])
def test_the_options_of_a_cube_keep_it_private(host: SshHost, cube: Path, run_args: str) -> None:
    done = on(host, cube, *OPTIONS, f"-Psingularity.run_args={run_args}")
    assert done.returncode == 0, done.stderr.decode()
    out = cube / "workspace/out"
    written = (out / "written").read_text()
    for place in (str(host.home), "/tmp", "/var/tmp", "."):
        assert f"writes {place}\n" in written
    assert "secret of the user" not in (out / "seen").read_text()
    assert marks(host) == b""


def test_a_task_that_unmounts_its_tmp_does_not_see_that_of_the_user(
    host: SshHost, cube: Path
) -> None:
    script = 'umount /tmp /var/tmp "$HOME"; umount -l /tmp "$HOME"; cat /tmp/* "$HOME"/*; true'
    task = shell_task(script, outputs={"out": "out/"})
    write_cube(cube, {"look": task}, singularity={"build_file": "probe.def"})
    done = on(host, cube, *OPTIONS, "-Psingularity.run_args=--fakeroot")
    assert done.returncode == 0, done.stderr.decode()
    assert b"secret of the user" not in done.stdout + done.stderr
    assert b"No such file" in done.stderr


def test_a_task_sees_its_own_processes_and_leaves_none(host: SshHost, cube: Path) -> None:
    stay = "(setsid sleep 4242 >/dev/null 2>&1 </dev/null &)"
    look = "for each in /proc/[0-9]*; do cat $each/cmdline; echo; done | tr -d '\\000'"
    task = shell_task(f"{stay}; sleep 0.2; {look}".replace("'", '"'), outputs={"out": "out/"})
    write_cube(cube, {"look": task}, singularity={"build_file": "probe.def"})
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 0, done.stderr.decode()
    assert b"sleep4242" in done.stdout
    assert b"sshd" not in done.stdout
    assert b"supervise" not in done.stdout
    there = host.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\000' ' '"]).output
    assert b"sleep 4242" not in there.replace(b"cat /proc", b"")
    assert b"sshd" in there
