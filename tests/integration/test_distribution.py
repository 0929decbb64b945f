# SPDX-License-Identifier: Apache-2.0
"""The packages for a package index are complete, and their page there is right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.hosts import HostFactory
from tests.support.tracked import copy_tracked

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://example.org/owner/name"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = tmp_path_factory.mktemp("dist") / "clone"
    copy_tracked(ROOT, clone)
    subprocess.run(
        [sys.executable, "-m", "build", "--quiet"],
        cwd=clone,
        env={**os.environ, "REPOSITORY": REPOSITORY},
        check=True,
        timeout=300,
    )
    (found,) = (clone / "dist").glob("*.whl")
    return found


def test_the_description_is_valid_and_has_no_relative_links(wheel: Path) -> None:
    packages = [str(path) for path in wheel.parent.iterdir()]
    checked = [sys.executable, "-m", "twine", "check", "--strict", *packages]
    subprocess.run(checked, check=True, capture_output=True, timeout=60)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert f"Source, {REPOSITORY}" in metadata.get_all("Project-URL", [])
    assert metadata["Author"]
    assert metadata["Keywords"]


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "mlcube_remote"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        assert set(listed) <= set(archive.namelist())


def test_the_package_finds_its_files_in_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    program = "import mlcube_remote as m, mlcube_remote.remote as r; print(m.__file__, r.library())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "mlcr_launch_job()" in done.stdout


def test_a_new_user_needs_eight_commands_from_the_installation_to_an_own_cube_on_an_own_host(
    wheel: Path, tmp_path: Path, ssh_host: HostFactory
) -> None:
    host = ssh_host()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{tmp_path / 'venv/bin'}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    commands: list[str] = []

    def type_in(command: str) -> str:
        commands.append(command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def printed(label: str, output: str) -> str:
        """Return the command that the program proposes, with the host's name."""
        (line,) = (line for line in output.splitlines() if line.startswith(label))
        return line.removeprefix(label).strip().replace("NAME", host.name)

    type_in(f"{sys.executable} -m venv venv")
    type_in(f"pip install --quiet {wheel}")
    type_in(f"mkdir -p config/mlcube-remote && cp {host.inventory} config/mlcube-remote/hosts.yaml")
    assert f"{host.name}: ok" in type_in(f"mlcube-remote hosts check {host.name}")
    made = type_in("mlcube-remote init greeter")
    assert "Hello, Ada!" in type_in(printed("run it here:", made))
    (tmp_path / "greeter/workspace/greeting.txt").unlink()
    assert "Hello, Ada!" in type_in(printed("run it there:", made))
    assert type_in("cat greeter/workspace/greeting.txt") == "Hello, Ada!\n"
    assert len(commands) <= 8
