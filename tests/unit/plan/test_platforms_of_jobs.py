# SPDX-License-Identifier: Apache-2.0
"""The platform of a job, and the user's own platforms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.cube.system_settings import SystemSettings
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.plan import plan_jobs
from tests.support.plans import CUBE, HOST, refused, request


def test_an_unknown_platform_is_reported_with_its_host_and_source(root: Path) -> None:
    error = refused(request(root, "make", platform="dcoker"))
    assert str(error) == "h: --platform: unknown platform 'dcoker' (did you mean 'docker'?)"
    listed = request(root, "make", hosts=(attrs.evolve(HOST, platform="slurm"),))
    assert str(refused(listed)) == "h: platform: unknown platform 'slurm'"


def test_the_platform_is_the_requested_one_or_one_of_the_cube(root: Path) -> None:
    (job,) = plan_jobs(request(root, "make"))
    assert job.platform == "docker"
    (job,) = plan_jobs(request(root, "make", hosts=(Host(name="h", platform="podman"),)))
    assert job.platform == "podman"
    assert "unknown platform 'dokcer'" in str(refused(request(root, "make", platform="dokcer")))
    (root / "mlcube.yaml").write_text(
        CUBE.replace("docker: {image: example/x}", "singularity: {image: x.sif}")
    )
    error = refused(request(root, "make", platform="docker"))
    assert "no section for h's platform docker (it has: singularity)" in str(error)
    for section, platform in (("podman", "docker"), ("apptainer", "singularity")):
        text = CUBE.replace("docker: {image: example/x}", f"{section}: {{image: x.sif}}")
        (root / "mlcube.yaml").write_text(text)
        error = refused(request(root, "make", platform=platform))
        expected = f"no section for h's platform {platform} (it has: {section})"
        assert expected in str(error), "a section of the other engine is not enough"


USERS_OWN = """
platforms:
  docker: {runner: docker, docker: sudo docker, env_args: {A: user, B: user, C: user}}
  big: {runner: docker, --memory: 64g, --cpuset-cpus: 0-63}
  mine: {runner: docker, docker: podman, build_strategy: auto, build_file: ../project/D}
  gpu: {runner: remote, host: h}
"""


def own(tmp_path: Path) -> SystemSettings:
    path = tmp_path / "own.yaml"
    path.write_text(USERS_OWN)
    return SystemSettings(document=yamlsource.load(path, error=UsageError))


def test_host_and_cube_override_the_users_own_platform(root: Path, tmp_path: Path) -> None:
    host = Host(name="h", settings={"docker": {"env_args": {"A": "host", "B": "host"}}})
    text = CUBE.replace("image: example/x", "image: x, env_args: {A: cube}")
    (root / "mlcube.yaml").write_text(text)
    run_request = attrs.evolve(request(root, "make", hosts=(host,)), system=own(tmp_path))
    ((item,), _) = dry_run(run_request)
    (argv,) = item.run
    assert argv[:2] == ("sudo", "docker"), "it applies to the platform of this name"
    assert argv[argv.index("-e") :][:6] == ("-e", "A=cube", "-e", "B=host", "-e", "C=user")
    assert item.configure == (("sudo", "docker", "pull", "x"),)


def test_a_platform_of_the_users_own_is_chosen_by_name(root: Path, tmp_path: Path) -> None:
    def planned(platform: str, **settings: Mapping[str, str]) -> tuple[str, ...]:
        host = Host(name="h", settings=settings)
        run_request = request(root, "make", hosts=(host,), platform=platform)
        ((item,), _) = dry_run(attrs.evolve(run_request, system=own(tmp_path)))
        return item.run[-1]

    assert {"--memory=64g", "--cpuset-cpus=0-63"} <= {*planned("big")}
    there = planned("big", docker={"--memory": "8g"})
    assert {"--memory=8g", "--cpuset-cpus=0-63"} <= {*there}, "the host overrides it"
    assert planned("mine", docker={"docker": "sudo docker"})[0] == "podman"


def test_all_checks_use_the_users_own_platform(root: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "D").touch()
    run_request = request(root, "make", platform="mine")
    assert "'../project/D' is outside" in str(
        refused(attrs.evolve(run_request, system=own(tmp_path)))
    )
    run_request = attrs.evolve(request(root, "make", platform="gpu"), system=own(tmp_path))
    error = refused(run_request)
    assert "h: --platform: unknown platform 'gpu'" in str(error)
    assert error.hint == ("expected one of: docker, podman, singularity, apptainer, big, mine, gpu")
