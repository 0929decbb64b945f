# SPDX-License-Identifier: Apache-2.0
"""What a container wrote as root belongs to the user who ran it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import mirror, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

WRITES = """
    umask 077
    in=${0#*=}; out=${1#*=}
    rm -rf "$out/deep"
    mkdir "$out/deep" && echo secret >"$out/deep/private.txt"
    echo another >"$out/others.txt" && chown 1234:1234 "$out/others.txt"
    mkdir -p "$in/cache" && echo cached >"$in/cache/file"
    ln -sf /etc/passwd "$in/cache/link"
    ln -sf no/where "$in/cache/dangling"
"""
PLACES: dict[str, Any] = {
    "inputs": {"config": {"type": "directory", "default": "config"}},
    "outputs": {"out": "out/"},
}


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    root = write_cube(tmp_path / "cube", {"make": shell_task(WRITES, **PLACES)})
    (root / "workspace/config").mkdir()
    return root


def others_files(host: SshHost) -> list[str]:
    """Return what in the mirror is not the user's."""
    place = str(mirror(host))
    found = host.exec(["find", place, "!", "-user", "mlcube"]).output.decode().split("\n")
    return [path for path in found if path]


@pytest.mark.parametrize(("flavour", "platform"), [("docker", "docker"), ("podman", "podman")])
def test_it_can_be_pulled_run_again_and_deleted(
    ssh_host: HostFactory, cube: Path, flavour: str, platform: str
) -> None:
    host = ssh_host(flavour, private=True)
    for attempt in ("first", "second"):
        done = on(host, cube, f"--platform={platform}", "--task=make")
        assert done.returncode == 0, (attempt, done.stderr)
        assert b"another user" not in done.stderr
        assert (cube / "workspace/out/deep/private.txt").read_text() == "secret\n"
        assert (cube / "workspace/out/others.txt").read_text() == "another\n"
        assert others_files(host) == []
    owner = host.exec(["stat", "-c", "%U", "/etc/passwd"]).output
    assert owner.strip() == b"root"
    deleted = host.exec(["su", "mlcube", "-c", f"rm -r '{mirror(host)}'"])
    assert deleted.exit_code == 0, deleted.output


def test_what_failed_tasks_wrote_comes_home_too(ssh_host: HostFactory, cube: Path) -> None:
    write_cube(cube, {"make": shell_task(WRITES + "exit 5", **PLACES)})
    done = on(ssh_host(private=True), cube, "--task=make")
    assert done.returncode == 5, done.stderr
    assert (cube / "workspace/out/deep/private.txt").read_text() == "secret\n"


def test_only_the_mirror_is_changed(ssh_host: HostFactory, cube: Path) -> None:
    host = ssh_host(private=True)
    own = host.home / "my data"
    host.exec(["su", "mlcube", "-c", f"mkdir '{own}'"])
    done = on(host, cube, "--task=make", f"out={own}/")
    assert done.returncode == 0, done.stderr
    assert host.exec(["stat", "-c", "%u", f"{own}/others.txt"]).output.strip() == b"1234"
    assert others_files(host) == []


@pytest.fixture(scope="module")
def image_without_chown() -> str:
    name = "mlcube-remote-test/no-chown:1"
    docker("build", "-t", name, "-", stdin=f"FROM {BASE_IMAGE}\nRUN rm /bin/chown\n".encode())
    return name


def test_an_image_that_cannot_help_is_reported(
    ssh_host: HostFactory, tmp_path: Path, image_without_chown: str
) -> None:
    task = shell_task("umask 077; echo x >${0#*=}/private.bin", outputs={"out": "out/"})
    cube = write_cube(tmp_path / "cube", {"make": task})
    done = on(ssh_host(private=True), cube, "--task=make", f"-Pdocker.image={image_without_chown}")
    assert done.returncode == 121, done.stderr
    assert (
        b"files written by make belong to another user and could not be given to you" in done.stderr
    )
    assert b'"chown": executable file not found' in done.stderr
    assert b"private.bin" in done.stderr
    assert b"Permission denied" in done.stderr


def test_what_everybody_may_read_is_the_users_too(ssh_host: HostFactory, tmp_path: Path) -> None:
    """Or the next run could not send it with the modes that it has here."""
    tasks = {
        "first": shell_task('echo data >"${0#*=}/d.txt"', outputs={"data": "data/"}),
        "second": shell_task(
            'cat "${0#*=}/d.txt"; echo x >"${1#*=}/o.txt"',
            inputs={"data": "data/"},
            outputs={"out": "out/"},
        ),
    }
    cube = write_cube(tmp_path / "cube", tasks)
    host = ssh_host(private=True)
    for task in tasks:
        done = on(host, cube, f"--task={task}")
        assert done.returncode == 0, (task, done.stderr)
        assert others_files(host) == []
        (cube / "workspace/data/d.txt").chmod(0o600)
    assert done.stdout == b"data\n"
