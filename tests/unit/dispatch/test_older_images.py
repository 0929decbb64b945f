# SPDX-License-Identifier: Apache-2.0
"""A host keeps the image that it has built; a run says if its files have changed since then."""

from __future__ import annotations

import shlex
from pathlib import Path

import attrs
import pytest

from mlcube_remote.events.model import Level
from tests.support.fake_host import FakeHost
from tests.support.fake_runs import CUBE, MakeClient

BUILD = "mlcr_run_while_connected"
BUILT = CUBE.replace("docker: {", "docker: {build_strategy: auto, build_context: ., ")


@attrs.define
class Runs:
    """Runs of one cube, one after the other."""

    make_client: MakeClient
    cube: Path
    count: int = 0

    def warnings(self) -> list[str]:
        """Run the cube with success, and return the warnings."""
        self.count += 1
        client = self.make_client("train", run_id=f"run{self.count}", cube=BUILT)
        assert client.do().succeeded
        return client.notes(Level.WARNING)


@pytest.fixture
def runs(host: FakeHost, make_client: MakeClient, tmp_path: Path) -> Runs:
    """Runs on a host that has built the image."""
    runs = Runs(make_client, tmp_path / "cube")
    runs.cube.mkdir()
    (runs.cube / "Dockerfile").write_text("FROM scratch\n")
    host.has_image = False
    assert runs.warnings() == []
    assert len(host.args(BUILD)) == 1
    return runs


def test_a_run_after_an_edit_uses_the_image_and_says_so_each_time(
    host: FakeHost, runs: Runs
) -> None:
    assert runs.warnings() == []
    (runs.cube / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    for _ in range(3):
        (warning,) = runs.warnings()
        assert "image example/mnist was built from another version of the cube's files" in warning
        command = shlex.split(warning.partition("to build it again: ")[2])
        assert command == ["mlcube-remote", "configure", "--host=gpu01", f"--mlcube={runs.cube}"]
    assert len(host.args(BUILD)) == 1


def test_the_command_is_short_in_the_directory_of_the_cube(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs.cube / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    monkeypatch.chdir(runs.cube)
    (warning,) = runs.warnings()
    assert warning.endswith(": mlcube-remote configure --host=gpu01")


def test_another_file_of_the_cube_is_no_reason(runs: Runs) -> None:
    (runs.cube / "notes.txt").write_text("the build does not copy it\n")
    assert runs.warnings() == []


@pytest.mark.parametrize("label", ["", "1" * 64, f"{'1' * 64} other/base"])
def test_an_image_that_was_not_built_from_the_cube(host: FakeHost, runs: Runs, label: str) -> None:
    """An image inherits the labels of the image that it is built from."""
    host.image_sources = label
    assert runs.warnings() == []
