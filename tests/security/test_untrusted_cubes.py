# SPDX-License-Identifier: Apache-2.0
"""A cube that its user knows nothing about gets its directory, its workspace and its container.

Each attack is tried on a real host. It must be refused before anything runs, and nothing outside
mlcube-remote's own directories may change: neither in the whole root directory of the host, nor in
the user's home there and here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import yaml

from mlcube_remote.cli.main import execute
from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import Completed
from tests.support.cubes import shell_task
from tests.support.host_files import host_files

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

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / ".local/state"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def run(self, *arguments: str, inventory: bool = True) -> Completed:
        """Run the task ``go`` in the cube's directory, as its README might say."""
        named = ("--inventory", str(self.host.inventory)) if inventory else ()
        program = (sys.executable, "-m", "mlcube_remote", "run", f"--host={self.host.name}")
        return subprocess.run(
            [*program, *named, "--task=go", *arguments],
            cwd=self.cube,
            env={**os.environ, **self.environment},
            capture_output=True,
            check=False,
            timeout=120,
        )

    def changed_since(self, before: dict[str, str]) -> set[str]:
        """Return what is new, gone or different, on the host and here."""
        return {path for path, _ in before.items() ^ self.digest().items()}

    def digest(self) -> dict[str, str]:
        """Return path → digest on the host and in the home here, without what is ours."""
        found = {f"host:{path}": about for path, about in host_files(self.host).items()}
        for path in sorted(self.home.rglob("*")):
            inside = path.relative_to(self.home).as_posix()
            if inside.startswith((".mlcube-remote", ".local", "cube/workspace")):
                continue
            content = path.read_bytes() if path.is_file() else b""
            digest = hashlib.sha256(content).hexdigest()
            found[str(path)] = f"{path.lstat().st_mode:o} {digest}"
        return found


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home on this machine, with the cube of a stranger in it."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "id_rsa").write_text("a private key\n")
    (home / ".bashrc").write_text("# mine\n")
    (home / "cube/workspace").mkdir(parents=True)
    (home / "cube/.git/hooks").mkdir(parents=True)
    return home


@pytest.fixture
def victim(
    ssh_host: HostFactory, stranger: Path, request: pytest.FixtureRequest
) -> Iterator[Victim]:
    host = ssh_host(getattr(request, "param", "docker"))
    (host.home / "precious").mkdir()
    (host.home / "precious" / "file").write_text("precious\n")
    yield Victim(stranger, stranger / "cube", host)
    shutil.rmtree(host.home / "precious")


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


ENGINES = ("docker", "podman", "apptainer")

RefuseAll = Callable[[str, list[dict[str, Any]]], None]


@pytest.fixture
def refuse_all(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> RefuseAll:
    """Run many cubes in this process; each must be refused, and nothing may change."""
    monkeypatch.chdir(victim.cube)
    for name, value in victim.environment.items():
        monkeypatch.setenv(name, value)
    where = ("--inventory", str(victim.host.inventory), f"--host={victim.host.name}")

    def refuse(platform: str, cubes: list[dict[str, Any]]) -> None:
        victim.write(**cubes[-1])
        before = victim.digest()
        for sections in cubes:
            victim.write(**sections)
            code = execute(["run", *where, "--task=go", f"--platform={platform}"])
            said = "".join(capfd.readouterr())
            assert code == 2, (sections, said)
            assert "mlcube.yaml:" in said, (sections, said)
            assert "private key" not in said
        assert victim.changed_since(before) == set()

    return refuse


@pytest.mark.parametrize("group", ["inputs", "outputs"])
@pytest.mark.parametrize(
    ("victim", "platform"), [(each, each) for each in ENGINES], indirect=["victim"]
)
def test_paths_outside_are_refused(refuse_all: RefuseAll, platform: str, group: str) -> None:
    kinds = {place: "directory" if place.endswith("/") else "file" for place in PLACES}
    cubes = [{"tasks": go(group, place, kind)} for place, kind in kinds.items()]
    refuse_all(platform, cubes)


SIF_SOURCES = [
    {"image": "x.sif", "build_file": "/etc/passwd"},
    {"image": "x.sif", "build_file": "//etc/passwd"},
    {"image": "x.sif", "build_file": "~/precious/file"},
    {"image": "x.sif", "build_file": "../../../../precious/file"},
    {"image": "x.sif", "build_file": "${runtime.root}/../../../precious/file"},
    {"image": "x.sif", "build_file": "docker-archive:/etc/passwd"},
    {"image": "x.sif", "build_file": "docker-archive:../../x.tar"},
    {"image": "x.sif", "build_file": "docker-daemon:debian:latest"},
    {"image": "x.sif", "build_file": "file:///etc"},
    {"image": "~/precious/file", "build_file": "docker://debian"},
    {"image": "/etc", "build_file": "docker://debian"},
    {"image": "../../../../../precious", "build_file": "docker://debian"},
    {"image": "x", "image_dir": "~/precious", "build_file": "docker://debian"},
    {"image": "x", "image_dir": "//etc", "build_file": "docker://debian"},
    {"image": "x.sif", "build_file": "docker://debian", "private_home": False},
    {"image": "x.sif", "build_file": "docker://debian", "run_args": "--bind /:/x"},
]


@pytest.mark.parametrize("victim", ["apptainer"], indirect=True)
def test_images_and_recipes_of_sif_stay_in_the_cube(refuse_all: RefuseAll) -> None:
    tasks = go("outputs", "out/", "directory")
    cubes = [{"singularity": section, "tasks": tasks} for section in SIF_SOURCES]
    refuse_all("apptainer", cubes)


@pytest.mark.parametrize("place", ["${runtime.root}/.git/hooks/", "../.git/hooks/", "../"])
def test_outputs_stay_in_the_workspace(victim: Victim, place: str) -> None:
    victim.write(tasks=go("outputs", place, "directory"))
    before = victim.digest()
    done = victim.run()
    assert done.returncode == 2
    assert b"outside its workspace" in done.stderr
    assert victim.changed_since(before) == set()


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
    assert victim.changed_since(before) == set()


@pytest.mark.parametrize(
    ("victim", "platform"),
    [(each, each) for each in ("docker", "podman")],
    indirect=["victim"],
)
def test_images_are_not_built_outside(victim: Victim, platform: str) -> None:
    recipe = victim.cube / "D"
    recipe.write_text(f"FROM {BASE_IMAGE}\nCOPY . /stolen\n")
    for context in ("/", "//etc", "~", "../..", "${runtime.root}/../.."):
        section = {"image": BASE_IMAGE, "build_context": context}
        section["build_file"] = "${runtime.root}/D"
        victim.write(tasks=go("outputs", "out/", "directory"), docker=section)
        built = f"-P{platform}.build_strategy=always"
        done = victim.run(built, f"--platform={platform}", "--dry-run")
        assert b"is not allowed: the image is pulled" in done.stdout, (context, done.stderr)
        assert f"\n{platform} build ".encode() not in done.stdout
    before = victim.digest()
    done = victim.run(built, f"--platform={platform}")
    assert b"is not allowed: the image is pulled" in done.stderr
    assert b"COPY" not in done.stderr
    assert victim.changed_since(before) == set()
    recipe.unlink()


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
        assert victim.changed_since(before) == set()
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
    assert victim.changed_since(before) == {f"host:{owned.parent}"}, "the time of a change"
