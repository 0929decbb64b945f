# SPDX-License-Identifier: Apache-2.0
"""An image travels to hosts with Apptainer: as an archive of Docker, and as a SIF file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcube_remote.sandbox.engine import BASE_IMAGE
from tests.support.command_line import run
from tests.support.cubes import shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory

QUICKLY = "-Papptainer.build_args=--mksquashfs-args='-noD -noI -noF'"
"""Nothing is compressed, which takes most of the time of a build."""
SAY = shell_task('cat /etc/debian_version >"${0#*=}/version"', outputs={"out": "out/"})


def images(cube: Path, host: str) -> list[Any]:
    """Return the digests of the images that a host has run, from the first run to the last."""
    attempts = [
        json.loads(path.read_text()) for path in sorted(cube.glob("results/*/attempts/*.json"))
    ]
    return [
        attempt["provenance"]["image"]["sha256"] for attempt in attempts if attempt["host"] == host
    ]


def test_apptainer_gets_an_image_of_docker_and_then_its_own(
    ssh_host: HostFactory, inventory_of: Callable[..., Path], tmp_path: Path
) -> None:
    docker, one, two = (
        ssh_host("docker"),
        ssh_host("apptainer"),
        ssh_host("apptainer", private=True),
    )
    cube = write_cube(tmp_path / "cube", {"say": SAY}, docker={"image": BASE_IMAGE})
    inventory = inventory_of(docker, one, two)
    hosts = f"--host={docker.name},{one.name}"
    done = run(inventory, cube, hosts, "--task=say", f"--ship-image={docker.name}", QUICKLY)
    assert done.returncode == 0, done.stderr.decode()
    assert f"{one.name}: configure: image from {docker.name}, " in done.stderr.decode()

    hosts = f"--host={one.name},{two.name}"
    done = run(inventory, cube, hosts, "--task=say", f"--ship-image={one.name}", QUICKLY)
    assert done.returncode == 0, done.stderr.decode()
    assert f"{two.name}: configure: image from {one.name}, " in done.stderr.decode()
    first, second = images(cube, one.name)
    assert first == second == images(cube, two.name)[0]
    assert first is not None
    for host in (docker, one, two):
        left = host.home.glob(".mlcube-remote/images/ship-*")
        assert list(left) == [], "an image on its way"
