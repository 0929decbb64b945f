# SPDX-License-Identifier: Apache-2.0
"""A cube that its user knows nothing about gets its directory, its workspace and its container.

Each attack is tried on a real host. It must be refused before anything runs, and nothing outside
mlcube-remote's own directories may change, on the host and on this machine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import yaml

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import Completed
from tests.support.cubes import shell_task

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

SECRET = "s3cr3t-of-this-machine"


@attrs.frozen
class Victim:
    """A user with a home on this machine, a cube from a stranger, and a host."""

    home: Path
    cube: Path
    host: SshHost

    def write(self, **sections: Any) -> None:
        """Write the stranger's ``mlcube.yaml``."""
        described = {"name": "stranger", "docker": {"image": BASE_IMAGE}, **sections}
        (self.cube / "mlcube.yaml").write_text(yaml.safe_dump(described))

    def run(self, *arguments: str, inventory: bool = True) -> Completed:
        """Run the task ``go`` in the cube's directory, as its README might say."""
        named = ("--inventory", str(self.host.inventory)) if inventory else ()
        program = (sys.executable, "-m", "mlcube_remote", "run", f"--host={self.host.name}")
        return subprocess.run(
            [*program, *named, "--task=go", *arguments],
            cwd=self.cube,
            env={
                **os.environ,
                "HOME": str(self.home),
                "XDG_STATE_HOME": str(self.home / ".local/state"),
                "XDG_CONFIG_HOME": str(self.home / ".config"),
                "AWS_SECRET_ACCESS_KEY": SECRET,
            },
            capture_output=True,
            check=False,
            timeout=120,
        )

    def digest(self) -> dict[str, str]:
        """Return path → digest in both homes, without mlcube-remote's own directories."""
        found = {}
        for top in (self.home, self.host.home):
            for path in sorted(top.rglob("*")):
                inside = path.relative_to(top).as_posix()
                if inside.startswith((".mlcube-remote", ".local", "cube/workspace")):
                    continue
                content = path.read_bytes() if path.is_file() else b""
                digest = hashlib.sha256(content).hexdigest()
                found[str(path)] = f"{path.lstat().st_mode:o} {digest}"
        return found


@pytest.fixture(scope="module")
def victim(ssh_host: HostFactory, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "id_rsa").write_text("a private key\n")
    (home / ".bashrc").write_text("# mine\n")
    cube = home / "cube"
    (cube / "workspace").mkdir(parents=True)
    (cube / ".git" / "hooks").mkdir(parents=True)
    host = ssh_host("docker", private=True)
    (host.home / "precious").mkdir()
    (host.home / "precious" / "file").write_text("precious\n")
    return Victim(home, cube, host)


def go(group: str, value: str, kind: str) -> dict[str, Any]:
    """Return tasks whose only parameter has a default, and which writes all over it."""
    parameter = {"a": {"type": kind, "default": value}}
    script = 'd=${0#*=}; [ -d "$d" ] || d=${d%/*}; echo owned >"$d/owned"; cat "$d"/*'
    return {"go": shell_task(script, **{group: parameter})}


PLACES = [
    "/etc/",
    "//etc/",
    "///etc/passwd",
    "/opt/",
    "/srv/x/",
    "/mnt/",
    "/",
    "~",
    "~/precious/",
    "~//precious/../precious/",
    "$HOME/precious/file",
    "remote:/etc/",
    "remote://etc/",
    "remote:~/precious/",
    "../../../precious/",
    "${runtime.root}/../../../../precious/",
    "${runtime.workspace}/../../../../../precious/",
    "local:~/.ssh/id_rsa",
    "local:~/.bashrc",
    "local:/etc/passwd",
    "local:../../.ssh/",
]


ON_EACH_ENGINE = ["//etc/", "~/precious/", "remote:~/precious/", "../../../precious/"]


@pytest.mark.parametrize("group", ["inputs", "outputs"])
@pytest.mark.parametrize(
    ("platform", "place"),
    [
        *(("docker", place) for place in PLACES),
        *((platform, place) for platform in ("podman", "apptainer") for place in ON_EACH_ENGINE),
    ],
)
def test_paths_outside_are_refused(victim: Victim, platform: str, place: str, group: str) -> None:
    victim.write(tasks=go(group, place, "directory" if place.endswith("/") else "file"))
    before = victim.digest()
    done = victim.run(f"--platform={platform}")
    assert done.returncode == 2, done.stderr.decode()
    assert b"private key" not in done.stdout + done.stderr
    assert victim.digest() == before


@pytest.mark.parametrize("place", ["${runtime.root}/.git/hooks/", "../.git/hooks/", "../"])
def test_outputs_stay_in_the_workspace(victim: Victim, place: str) -> None:
    victim.write(tasks=go("outputs", place, "directory"))
    before = victim.digest()
    done = victim.run()
    assert done.returncode == 2
    assert b"outside its workspace" in done.stderr
    assert victim.digest() == before


SECTIONS: list[dict[str, Any]] = [
    {"docker": {"image": BASE_IMAGE, "cpu_args": "--privileged"}},
    {"docker": {"image": BASE_IMAGE, "cpu_args": "-v /:/host"}},
    {"docker": {"image": BASE_IMAGE, "--network": "host"}},
    {"docker": {"image": BASE_IMAGE, "docker": "sh -c 'touch ~/owned'"}},
    {"docker": {"image": BASE_IMAGE, "env_args": {"A": "${oc.env:AWS_SECRET_ACCESS_KEY}"}}},
    {"docker": {"image": BASE_IMAGE, "env_args": {"A": "${env:AWS_SECRET_ACCESS_KEY}"}}},
    {"docker": {"image": "x:${oc.env:AWS_SECRET_ACCESS_KEY}"}},
]


@pytest.mark.parametrize("section", SECTIONS)
def test_settings_that_reach_out_are_refused(victim: Victim, section: dict[str, Any]) -> None:
    victim.write(tasks={"go": shell_task("env")}, **section)
    before = victim.digest()
    done = victim.run()
    assert done.returncode == 2, done.stderr.decode()
    assert b"mlcube-remote trust" in done.stderr
    assert SECRET.encode() not in done.stdout + done.stderr
    assert victim.digest() == before


@pytest.mark.parametrize("context", ["/", "/etc", "~", "../..", "${runtime.root}/../.."])
def test_images_are_not_built_outside(victim: Victim, context: str) -> None:
    recipe = "${runtime.root}/D"
    (victim.cube / "D").write_text(f"FROM {BASE_IMAGE}\nCOPY . /stolen\n")
    section = {"image": BASE_IMAGE, "build_context": context, "build_file": recipe}
    victim.write(tasks=go("outputs", "out/", "directory"), docker=section)
    done = victim.run("-Pdocker.build_strategy=always")
    (victim.cube / "D").unlink()
    assert b"is not allowed: the image is pulled" in done.stderr
    assert b"COPY" not in done.stderr


def test_an_inventory_of_the_cube_runs_nothing(victim: Victim) -> None:
    victim.write(tasks={"go": shell_task("true")})
    file = victim.cube / "hosts.yaml"
    named = victim.host.name
    attacks = [
        {"connection": "local", "docker": {"docker": "sh -c 'touch ~/owned'"}},
        {"address": "127.0.0.1", "env": ["AWS_SECRET_ACCESS_KEY"]},
        {"address": "127.0.0.1", "known_hosts": "mine", "host_keys": "accept-new"},
        {"address": "127.0.0.1", "identity_file": "~/.ssh/id_rsa"},
        {"address": "127.0.0.1", "remote_root": "/etc"},
    ]
    for attack in attacks:
        file.write_text(yaml.safe_dump({"hosts": {named: attack}}))
        before = victim.digest()
        done = victim.run(inventory=False)
        assert done.returncode == 2, done.stderr.decode()
        assert b"hosts.yaml:" in done.stderr
        assert b"without your trust" in done.stderr
        assert victim.digest() == before
    file.unlink()


def test_what_the_user_types_is_done(victim: Victim) -> None:
    victim.write(tasks=go("inputs", "/etc/", "directory"))
    before = victim.digest()
    done = victim.run("a=~/precious/")
    assert done.returncode == 0, done.stderr.decode()
    owned = victim.host.home / "precious" / "owned"
    assert owned.exists(), "the user gave this directory"
    owned.unlink()
    assert b"precious" in done.stdout
    assert victim.digest() == before
