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
