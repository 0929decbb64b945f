# SPDX-License-Identifier: Apache-2.0
"""A task plants links in its workspace; no container of a later task gets what they lead to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.command_line import Completed, on
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

ENGINES = ("docker", "podman", "apptainer")
MARK = "mark-of-the-second-task"

OUTWARD = {
    # kind: target of the link "stage/sub", output that the second task declares
    "root": ("/", "stage/sub/"),
    "home": ("{home}", "stage/sub/"),
    "relative": ("../../../../..", "stage/sub/"),
    "middle": ("/", "stage/sub/tmp/"),
    "new": ("/tmp", "stage/sub/new/deep/"),
    "dangling": ("/tmp/nothing", "stage/sub/"),
    "file": ("/etc/passwd", "stage/sub/"),
    "dots": ("/tmp", "stage/sub/../"),
    "another-cube": ("../../..", "stage/sub/"),
}
INWARD = {
    "sibling": ("../other", "stage/sub/"),
    "up": ("..", "stage/sub/other/"),
}
PLANT = 'rm -rf "${0#*=}/sub"; mkdir -p "${1#*=}"; ln -s "{target}" "${0#*=}/sub"'
ENTER = f'echo the second task runs; echo x >"${{0#*=}}/{MARK}"'


def tasks(home: str = "/home/mlcube") -> dict[str, Any]:
    found = {}
    for kind, (target, declared) in {**OUTWARD, **INWARD}.items():
        script = PLANT.replace("{target}", target.format(home=home))
        found[f"plant-{kind}"] = shell_task(script, outputs={"stage": "stage/", "with": "other/"})
        found[f"enter-{kind}"] = shell_task(ENTER, outputs={"out": declared})
    return found


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cube for all, so that its SIF file is built once."""
    return write_cube(tmp_path_factory.mktemp("cube"), tasks())


def changed(host: SshHost) -> str:
    """Return what the second tasks left outside of mlcube-remote's directory."""
    root = f"{host.home}/.mlcube-remote"
    names = f"-name {MARK} -o -path /tmp/new -o -path /tmp/nothing"
    # Temporary files of engines may vanish meanwhile.
    script = f"find / -xdev -ignore_readdir_race -path {root} -prune -o \\( {names} \\) -print"
    done = host.exec(["sh", "-c", script])
    home = host.exec(["ls", "-A", str(host.home)]).output.decode()
    return done.output.decode() + home


def runs(host: SshHost, cube: Path, kind: str, flavour: str) -> Completed:
    options = (f"--task=plant-{kind},enter-{kind}", f"--platform={flavour}", "--output=json")
    return on(host, cube, *options)


@pytest.mark.parametrize("flavour", ENGINES)
@pytest.mark.parametrize("kind", OUTWARD)
def test_a_link_that_leads_out_is_not_mounted(
    ssh_host: HostFactory, cube: Path, flavour: str, kind: str
) -> None:
    host = ssh_host(flavour)
    on(host, cube, "--task=plant-up", f"--platform={flavour}")  # the root exists, and the image
    before = changed(host)
    done = runs(host, cube, kind, flavour)
    assert done.returncode == 118, (done.stdout, done.stderr)
    assert b"the second task runs" not in done.stdout + done.stderr
    assert changed(host) == before
    (job,) = json.loads(done.stdout)["jobs"]
    declared = OUTWARD[kind][1].rstrip("/")
    assert f"task enter-{kind} was not started: " in job["error"]["message"]
    assert f"workspace/{declared} leads " in job["error"]["message"]
    # What an earlier run left is refused at the launch.
    again = on(host, cube, f"--task=enter-{kind}", f"--platform={flavour}")
    assert b"the second task runs" not in again.stdout or kind == "dots"
    assert changed(host) == before


@pytest.mark.parametrize("flavour", ENGINES)
@pytest.mark.parametrize("kind", INWARD)
def test_a_link_that_stays_inside_is_mounted(
    ssh_host: HostFactory, cube: Path, flavour: str, kind: str
) -> None:
    host = ssh_host(flavour)
    done = runs(host, cube, kind, flavour)
    assert b"the second task runs" in done.stdout + done.stderr, done.stderr
    (mark,) = host.home.glob(f".mlcube-remote/cubes/probe-*/workspace/other/{MARK}")
    mark.unlink()


def test_the_users_own_links_are_followed(
    ssh_host: HostFactory, cube: Path, tmp_path: Path
) -> None:
    """A remote_root on another disk, data of the host behind a link, a workspace elsewhere."""
    host = ssh_host("docker", private=True)
    made = "mkdir -p ~/disk/root ~/disk/shared && ln -s ~/disk ~/link"
    assert host.exec(["su", "mlcube", "-c", f"HOME={host.home}; {made}"]).exit_code == 0
    described = yaml.safe_load(host.inventory.read_text())
    described["hosts"][host.name]["remote_root"] = f"{host.home}/link/root/mlcube"
    host.inventory.write_text(yaml.safe_dump(described))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "workspace").symlink_to(tmp_path / "elsewhere")
    done = on(
        host,
        cube,
        "--task=enter-sibling",
        f"out={host.home}/link/shared/",
        f"--workspace={tmp_path}/workspace",
    )
    assert done.returncode == 0, done.stderr
    assert (host.home / "disk/shared" / MARK).exists()
    done = on(host, cube, "--task=plant-sibling", f"--workspace={tmp_path}/workspace")
    assert done.returncode == 0, done.stderr
