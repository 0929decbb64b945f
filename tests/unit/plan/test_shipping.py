# SPDX-License-Identifier: Apache-2.0
"""Which images can travel to which hosts, and what a dry run says about it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.app.image_sources import image_sources
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.model import LOCAL_HOST, Host, Inventory
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import CUBE, refused, request

DOCKER = Host(name="docker", remote_root="/r", platform="docker")
PODMAN = Host(name="podman", remote_root="/r", platform="podman")
APPTAINER = Host(name="sif", remote_root="/r", platform="apptainer")


def shipped(root: Path, source: Host, *hosts: Host) -> RunRequest:
    sources = {host.name: source for host in hosts}
    return attrs.evolve(request(root, "make", hosts=hosts), image_sources=sources)


@pytest.mark.parametrize("source", [LOCAL_HOST, DOCKER, PODMAN])
def test_an_engines_image_travels_to_every_platform(root: Path, source: Host) -> None:
    jobs = plan_jobs(shipped(root, source, DOCKER, PODMAN, APPTAINER))
    assert [job.image_source for job in jobs] == [source] * 3


def test_a_sif_file_travels_to_its_own_kind(root: Path) -> None:
    other = attrs.evolve(APPTAINER, name="sif2", platform="singularity")
    assert plan_jobs(shipped(root, APPTAINER, APPTAINER, other))
    error = refused(shipped(root, APPTAINER, APPTAINER, DOCKER))
    assert str(error) == ("docker: docker cannot use the image of sif, which is built by apptainer")
    assert error.hint == "name a host with Docker or Podman as the source"


def test_a_host_with_another_image_is_refused(root: Path) -> None:
    (root / "mlcube.yaml").write_text(
        f"{CUBE}\npodman: {{image: example/y}}\nsingularity: {{build_file: cube.def}}\n"
    )
    error = refused(shipped(root, DOCKER, DOCKER, PODMAN))
    assert str(error) == "podman: its image is example/y, and that of docker is example/x"
    (root / "cube.def").touch()
    error = refused(shipped(root, DOCKER, DOCKER, APPTAINER))
    assert str(error) == "sif: its image is cube.def, and that of docker is docker://example/x"


def test_an_image_with_a_digest_needs_no_transport(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("example/x", "example/x@sha256:12"))
    error = refused(shipped(root, DOCKER, DOCKER, PODMAN))
    assert str(error).startswith("image example/x@sha256:12 is named by its digest")


def test_a_dry_run_says_where_the_image_comes_from(root: Path) -> None:
    planned, notes = dry_run(shipped(root, LOCAL_HOST, DOCKER))
    assert [item.configure for item in planned] == [()]
    assert notes["docker"][1:] == (
        "the image is sent from local, unless the host has it; only what it lacks is sent",
        "on local, if the image is missing there: docker pull example/x",
    )
    planned, notes = dry_run(shipped(root, DOCKER, DOCKER, PODMAN))
    assert [item.configure for item in planned] == [(("docker", "pull", "example/x"),), ()]
    assert notes["docker"][1:] == ("the image is sent from here to other hosts",)


def test_the_command_line_or_the_inventory_names_the_source() -> None:
    named = attrs.evolve(PODMAN, image_source="docker")
    hosts = (DOCKER, named, APPTAINER)
    known = Inventory(hosts={host.name: host for host in (*hosts, LOCAL_HOST)}, groups={})
    assert image_sources(known, hosts, None) == {"podman": DOCKER, "docker": DOCKER}
    assert image_sources(known, (named,), None) == {"podman": DOCKER, "docker": DOCKER}
    assert image_sources(known, hosts, "local") == dict.fromkeys(
        ("docker", "podman", "sif"), LOCAL_HOST
    ) | {"local": LOCAL_HOST}
    assert image_sources(known, (DOCKER, APPTAINER), None) == {}
    with pytest.raises(InventoryError, match="--ship-image: host 'no_such' is not in"):
        image_sources(known, hosts, "no_such")
    with pytest.raises(InventoryError, match="--ship-image: all: means 3 hosts") as caught:
        image_sources(known, hosts, "all")
    assert caught.value.hint == "name one of them: docker, podman, sif"


def test_a_source_has_no_source_of_its_own() -> None:
    first = attrs.evolve(DOCKER, image_source="local")
    second = attrs.evolve(PODMAN, image_source="docker")
    known = Inventory(hosts={host.name: host for host in (first, second, LOCAL_HOST)}, groups={})
    with pytest.raises(InventoryError) as caught:
        image_sources(known, (first, second), None)
    assert caught.value.hint == "name local as the source of all of them: --ship-image=local"
