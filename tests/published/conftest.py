# SPDX-License-Identifier: Apache-2.0
"""Published cubes, rewritten in their shape: names, tasks, parameters and layout.

Their programs are a few lines of shell, and their images are in the engine of the host, as if it
had pulled them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import yaml

from mlcube_remote.sandbox.engine import docker
from tests.support.hosts import HostFactory, SshHost, engine, inventory_of, ssh_host, sweep
from tests.support.tracked import copy_tracked

__all__ = ["engine", "inventory_of", "ssh_host", "sweep"]

CUBES = Path(__file__).parent / "cubes"
IMAGES = f"mlcube-remote-published-{os.getpid()}"
"""Where the images of this test session are; in the cubes it is "published"."""


@attrs.frozen
class PublishedCube:
    """A copy of a cube, and the host that its commands use."""

    root: Path
    """The directory of mlcube.yaml."""
    host: SshHost

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def mlcube(self, *words: str) -> str:
        """Run a command of the cube's README, and return what its tasks printed."""
        command, *rest = words
        done = self.call(command, *rest)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        inventory = ("--inventory", str(self.host.inventory), f"--host={self.host.name}")
        return subprocess.run(
            [sys.executable, "-m", "mlcube_remote", command, *inventory, *words],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def on_host(self, name: str) -> Path:
        """Return a path in the mirror of the cube on its host."""
        name_of_cube = re.sub(r"\W", "?", yaml.safe_load(self._text())["name"])
        (mirror,) = self.host.home.glob(f".mlcube-remote/cubes/{name_of_cube}*")
        return mirror / name

    def _text(self) -> str:
        return (self.root / "mlcube.yaml").read_text()

    def read(self, name: str) -> str:
        """Return the text of a file in the workspace."""
        return (self.workspace / name).read_text()

    def build(self, context: Path, recipe: str = "Dockerfile") -> None:
        """Build the cube's image, so that its host has it."""
        file = str(context / recipe)
        docker("build", "--tag", self.image, "--file", file, str(context), timeout=300)

    def save(self, archive: str) -> None:
        """Save the image as an archive in the cube's directory: no registry has it."""
        docker("save", f"--output={self.root / archive}", self.image, timeout=300)

    @property
    def image(self) -> str:
        lines = self._text().splitlines()
        return next(line.split()[-1] for line in lines if line.strip().startswith("image: "))


Published = Callable[..., PublishedCube]


@pytest.fixture(scope="session", autouse=True)
def _no_images_left(engine: None) -> Iterator[None]:
    yield
    for tag in docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"{IMAGES}/*").split():
        docker("rmi", tag)


@pytest.fixture
def published(ssh_host: HostFactory, tmp_path: Path) -> Published:
    """Return a function that copies a cube, and builds its image unless its README does."""

    def copy(
        name: str,
        flavour: str = "docker",
        *,
        inside: str = ".",
        context: str | None = "project",
        recipe: str = "Dockerfile",
    ) -> PublishedCube:
        """Return a copy of a cube.

        Args:
            name: Its directory.
            flavour: The kind of its host.
            inside: The directory of mlcube.yaml in there.
            context: The directory of the image in there; ``None``: the README builds it.
            recipe: The recipe in the context.
        """
        top = tmp_path / Path(name).name
        copy_tracked(CUBES / name, top)
        file = top / inside / "mlcube.yaml"
        file.write_text(file.read_text().replace("published/", f"{IMAGES}/"))
        (top / inside / "workspace").mkdir(exist_ok=True)
        cube = PublishedCube(top / inside, ssh_host(flavour))
        if context is not None:
            cube.build(top / context, recipe)
        return cube

    return copy
