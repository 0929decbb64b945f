# SPDX-License-Identifier: Apache-2.0
"""Images that are files, built by a real Apptainer: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.command_line import command, mirror, on
from tests.support.cubes import QUICKLY, shell_task, write_cube

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

DEFINITION = f"""Bootstrap: docker
From: {BASE_IMAGE}

%files
    word.txt /word.txt
"""
SAY = shell_task('cat /word.txt; cat /word.txt >"${0#*=}/word.txt"', outputs={"out": "out/"})


@pytest.fixture
def host(ssh_host: HostFactory) -> SshHost:
    return ssh_host("apptainer", private=True)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    section = {"image": "probe.sif", "build_file": "probe.def"}
    root = write_cube(tmp_path / "cube", {"say": SAY}, singularity=section)
    (root / "probe.def").write_text(DEFINITION)
    (root / "word.txt").write_text("one\n")
    return root


def images(host: SshHost) -> dict[str, Path]:
    folder = mirror(host) / "workspace/.image"
    return {path.name: path for path in folder.iterdir()} if folder.exists() else {}


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_image_is_whole_whoever_is_killed_while_it_is_built(host: SshHost, cube: Path) -> None:
    (cube / "probe.def").write_text(DEFINITION + "%post\n    touch /tmp/building; sleep 300\n")
    options = ("--task=say", "--platform=apptainer", QUICKLY)
    with subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        wait_for(lambda: host.exec(["pgrep", "-fx", "sleep 300"]).exit_code == 0)
        # In this order: a build ends with its client, and cleans up.
        host.exec(["pkill", "-KILL", "-u", "mlcube"])
        client.send_signal(signal.SIGKILL)
        client.communicate()
    assert "probe.sif" not in images(host)
    assert any(name.startswith(".probe.sif.building.") for name in images(host))

    (cube / "probe.def").write_text(DEFINITION)
    done = on(host, cube, *options)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"one\n"
    assert set(images(host)) == {"probe.sif", ".probe.sif.recipe"}


@pytest.mark.parametrize("flavour", ["docker", "podman", "apptainer"])
def test_a_build_ends_with_its_client(ssh_host: HostFactory, tmp_path: Path, flavour: str) -> None:
    host = ssh_host(flavour)
    seconds = f"4{os.getpid()}"  # no other process sleeps as long
    image = f"mlcube-remote-test/never:{seconds}"
    section = {"image": image, "build_strategy": "auto"}
    sif = {"image": "probe.sif", "build_file": "probe.def"}
    cube = write_cube(tmp_path / "cube", {"say": SAY}, docker=section, singularity=sif)
    (cube / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN sleep {seconds}\n")
    header = f"Bootstrap: docker\nFrom: {BASE_IMAGE}\n"
    (cube / "probe.def").write_text(f"{header}%post\n    sleep {seconds}\n")
    options = ("--task=say", f"--platform={flavour}")

    def is_building() -> bool:
        # What Docker builds is this machine's, whose engine the host uses.
        own = subprocess.run(["pgrep", "-f", f"sleep {seconds}"], capture_output=True, check=False)
        return own.returncode == 0

    with subprocess.Popen(
        command(host.inventory, cube, f"--host={host.name}", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        wait_for(is_building)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    wait_for(lambda: not is_building())
    half = ".mlcube-remote/cubes/*/workspace/.image/.probe.sif.building.*"
    wait_for(lambda: not list(host.home.glob(half)))


def test_an_image_comes_from_an_archive_or_from_another_image(
    ssh_host: HostFactory, tmp_path: Path
) -> None:
    host = ssh_host("apptainer")
    section = {"image": "probe.sif", "build_file": "docker-archive:image.tar"}
    task = shell_task('echo made >"${0#*=}/made.txt"', outputs={"out": "out/"})
    cube = write_cube(tmp_path / "cube", {"say": task}, singularity=section)
    docker("save", f"--output={cube}/image.tar", BASE_IMAGE)
    options = ("--task=say", "--platform=apptainer", QUICKLY)
    for source in ("docker-archive:image.tar", f"{host.home}/images/probe.sif"):
        place = host.home / ("images" if source.startswith("docker") else "copies")
        own = (f"-Psingularity.image_dir={place}", f"-Psingularity.build_file={source}")
        done = on(host, cube, *options, *own)
        assert done.returncode == 0, done.stderr.decode()
        assert (place / "probe.sif").stat().st_size > 1_000_000
        assert (cube / "workspace/out/made.txt").read_text() == "made\n"


def test_an_image_is_built_once_and_again_when_its_recipe_changed(
    ssh_host: HostFactory, cube: Path
) -> None:
    host = ssh_host("apptainer")
    place = host.home / "shared images"
    options = ("--task=say", "--platform=singularity", QUICKLY)
    clients = [
        subprocess.Popen(
            [
                *command(host.inventory, cube, f"--host={host.name}", *options),
                f"--workspace={cube}/{name}",
                f"-Psingularity.image_dir={place}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("first", "second")
    ]
    said = [client.communicate(timeout=120) for client in clients]
    assert [client.returncode for client in clients] == [0, 0], said
    assert sum(b"Creating SIF file" in err for _, err in said) == 1
    assert sum(b"waiting for another client" in err for _, err in said) <= 1

    own = f"-Psingularity.image_dir={place}"
    built = (place / "probe.sif").stat().st_mtime_ns
    assert on(host, cube, *options, own).stdout == b"one\n"
    assert (place / "probe.sif").stat().st_mtime_ns == built
    (cube / "word.txt").write_text("two\n")
    done = on(host, cube, *options, own)
    assert (done.returncode, done.stdout) == (0, b"two\n"), done.stderr.decode()
    assert b"the recipe of" in done.stderr
