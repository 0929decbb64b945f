# SPDX-License-Identifier: Apache-2.0
"""The last step of a job gives outputs to the user, and is led nowhere by what a task planted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.both_paths import on_both_paths
from tests.support.command_line import mirror, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

PLANT = r"""
    for o in "${0#*=}" "${1#*=}"; do
        user=$(stat -c %u "$o")
        mkdir -p "$o/deep"
        chown "$user" "$o/deep"
        echo evil >"$o/made.txt"
        echo evil >"$o/deep/made.txt"
        ln -s /home/mlcube "$o/to-home"
        ln -s /home/mlcube/.bashrc "$o/to-file"
        ln -s /home/mlcube/created "$o/to-nothing"
    done
    o=${0#*=}
    perl -e "symlink q(/home/mlcube/.bashrc), qq($o/.mlcube-remote-own.\$_) for 1 .. 60000"
    find "$o" -name ".mlcube-remote-own.*" -exec chown -h "$user" {} +
    echo planted $(ls -A "$o" | wc -l)
"""
"""A link for each process id that the host may use. They are the user's: not to be given away. They
are in an input, because nothing of it is pulled, which would take a minute."""


@pytest.fixture
def host(ssh_host: HostFactory, request: pytest.FixtureRequest) -> SshHost:
    started = ssh_host(request.param, private=True)
    started.exec(["su", "mlcube", "-c", "echo mine >~/.bashrc"])
    return started


def home(host: SshHost) -> bytes:
    """Return what is in the home and when it was changed, without directories of programs."""
    shown = "-mindepth 1 -maxdepth 1 ! -type d -printf '%p %u %m %s %T@\\n'"
    return host.exec(["sh", "-c", f"find {host.home} {shown}; cat {host.home}/.bashrc"]).output


@pytest.mark.parametrize("host", ["docker", "podman"], indirect=True)
def test_no_planted_link_is_written_through(host: SshHost, tmp_path: Path) -> None:
    script = PLANT.replace("/home/mlcube", str(host.home))
    task = shell_task(script, inputs={"data": "data/"}, outputs={"out": "out/"})
    cube = write_cube(tmp_path / "cube", {"plant": task})
    platform = "podman" if "podman" in host.name else "docker"
    before = home(host)
    done = on(host, cube, "--task=plant", f"--platform={platform}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert b"planted 60005\n" in done.stdout, "made.txt, deep and three other links"
    assert home(host) == before
    there = mirror(host) / "workspace"
    foreign = host.exec(["find", str(there), "!", "-user", "mlcube"]).output
    assert foreign == b""
    assert (cube / "workspace/out/made.txt").read_text() == "evil\n"


@on_both_paths
def test_a_task_that_replaces_its_own_output_by_a_link_changes_no_owner(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host()
    script = r"""
        umask 077
        o=${0#*=}; s=${1#*=}
        echo x >"$o/private"
        rmdir "$s/sub" || exit 3
        ln -s /etc "$s/sub"
    """
    outputs = {"out": "out/", "stage": "stage/", "sub": "stage/sub/"}
    cube = write_cube(tmp_path / "cube", {"swap": shell_task(script, outputs=outputs)})
    done = on(host, cube, "--task=swap")
    owner = host.exec(["stat", "-c", "%U", "/etc", "/etc/passwd"]).output.split()
    assert owner == [b"root", b"root"]
    assert done.returncode != 3, done.stderr
    assert b"leads to /etc" in done.stderr
