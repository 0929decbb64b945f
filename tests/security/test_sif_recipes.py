# SPDX-License-Identifier: Apache-2.0
"""A recipe of a cube that nothing is known about leaves its host alone, on a real Apptainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

QUICKLY = "-Psingularity.build_args=--fakeroot --mksquashfs-args='-noD -noI -noF'"
HEADER = f"Bootstrap: docker\nFrom: {BASE_IMAGE}\n"
OPTIONS = ("--task=say", "--platform=apptainer", QUICKLY)
SECRET = "the key of the host's user"


@pytest.fixture
def host(ssh_host: HostFactory) -> Iterator[SshHost]:
    host = ssh_host("apptainer")
    (host.home / "secret").write_text(SECRET)
    yield host
    for path in (host.home / "secret", host.home / "owned"):
        path.unlink(missing_ok=True)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    task = shell_task('cat /x* 2>&1; echo made >"${0#*=}/made"', outputs={"out": "out/"})
    section = {"image": "probe.sif", "build_file": "workspace/probe.def"}
    root = write_cube(tmp_path / "cube", {"say": task}, singularity=section)
    (root / "workspace/inside.txt").write_text("inside\n")
    return root


@pytest.mark.parametrize(
    "body",
    [
        "%setup\n    touch HOME/owned\n",
        "%SETUP\n    touch HOME/owned\n",
        "%pre\n    touch HOME/owned\n",
        "%files\n    HOME/secret /x\n",
        "%files\n    ../../../secret /x\n",
        "%files\n    $(touch${IFS}HOME/owned) /x\n",
        "%files from nowhere\n    x /../../../../../../../../HOME/owned\n",
        "%arguments\n    A=%setup\n{{ A }}\n    touch HOME/owned\n",
    ],
)
def test_it_needs_trust_for_what_is_outside(host: SshHost, cube: Path, body: str) -> None:
    recipe = cube / "workspace/probe.def"
    recipe.write_text(HEADER + body.replace("HOME", str(host.home)))
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 2, done.stderr.decode()
    assert f"{recipe}:".encode() in done.stderr
    assert b"or add --trust-cube for one command" in done.stderr
    assert not (host.home / "owned").exists()


def test_trust_gives_what_was_asked_for(host: SshHost, cube: Path) -> None:
    recipe = cube / "workspace/probe.def"
    recipe.write_text(
        f"{HEADER}%setup\n    touch {host.home}/owned\n%files\n    {host.home}/secret /x\n"
    )
    done = on(host, cube, *OPTIONS, "--trust-cube")
    assert done.returncode == 0, done.stderr.decode()
    assert SECRET in done.stdout.decode()
    assert (host.home / "owned").exists()


def test_what_a_task_left_in_the_mirror_is_not_built(host: SshHost, cube: Path) -> None:
    recipe = cube / "workspace/probe.def"
    recipe.write_text(f"{HEADER}%files\n    workspace/inside.txt /x\n")
    done = on(host, cube, *OPTIONS)
    assert (done.returncode, done.stdout) == (0, b"inside\n"), done.stderr.decode()
    mirrors = host.home.glob(".mlcube-remote/cubes/*/workspace")
    there = max(mirrors, key=lambda path: path.stat().st_mtime).parent
    (there / "workspace/.image/probe.sif").unlink()
    (there / "workspace/inside.txt").unlink()
    (there / "workspace/inside.txt").symlink_to(host.home / "secret")
    (cube / ".mlcubeignore").write_text("inside.txt\n")
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 122, done.stderr.decode()
    assert b"leads out of the cube, so it is not copied" in done.stderr

    (there / "workspace/inside.txt").unlink()
    (there / "workspace/probe.def").write_text(f"{HEADER}%setup\n    touch {host.home}/owned\n")
    (cube / ".mlcubeignore").write_text("inside.txt\nprobe.def\n")
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 122, done.stderr.decode()
    assert b"differs from the file that was checked on the client" in done.stderr
    assert not (host.home / "owned").exists()


def test_the_scripts_of_a_recipe_see_no_files_of_the_host(host: SshHost, cube: Path) -> None:
    marks = ["/tmp/of-a-recipe", "/var/tmp/of-a-recipe"]
    host.exec(["rm", "-f", *marks])
    host.exec(["sh", "-c", "echo secret >/tmp/of-the-user; chmod 666 /tmp/of-the-user"])
    recipe = cube / "workspace/probe.def"
    look = "cat /tmp/of-the-user >/x 2>&1 || true"
    script = f"touch {' '.join(marks)}; {look}; echo changed >/tmp/of-the-user"
    recipe.write_text(f"{HEADER}%post\n    {script}\n    ls {host.home} >>/x 2>&1 || true\n")
    done = on(host, cube, *OPTIONS)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"No such file or directory") == 2, done.stdout.decode()
    assert host.exec(["ls", *marks]).exit_code != 0
    assert host.exec(["cat", "/tmp/of-the-user"]).output == b"secret\n"
    left = host.exec(
        ["sh", "-c", f"ls -d {host.home}/.mlcube-remote/cubes/*/workspace/.image/.*.tmp*"]
    )
    assert left.exit_code != 0, "removed at the end"
