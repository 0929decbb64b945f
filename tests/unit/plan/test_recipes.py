# SPDX-License-Identifier: Apache-2.0
"""Which recipes and build contexts are sent, and which are of the host."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from mlcube_remote.app.dry_run import dry_run
from mlcube_remote.errors import PlanError
from mlcube_remote.files.build_context import context_trees
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan import requirements as require
from mlcube_remote.plan.job_plan import make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.trust.requests import NO_TRUST
from tests.support.plans import CUBE, HOST, probed, refused, request

HOSTS = pytest.mark.parametrize("host", [HOST, LOCAL_HOST], ids=["remote", "local"])


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ("", None),
        (
            "build_file: Dockerfil",
            "mlcube.yaml:3:28: docker.build_file: Dockerfil does not exist (did you mean",
        ),
        (
            "build_file: gpu.recipe",
            "mlcube.yaml:3:28: docker.build_file: gpu.recipe does not exist: the image",
        ),
        ("build_file: sub/Dockerfle", "sub/Dockerfle does not exist (did you mean 'Dockerfile'?)"),
        ("build_file: Dockerfil, build_strategy: pull", None),
        ("build_context: ../project, build_file: Dockerfile", None),
        ("build_context: sbu, build_file: Dockerfile", None),
        ("build_context: sources, build_file: Dockerfile", "(did you mean 'source'?)"),
        ("build_context: source, build_file: Dockerfile", "build_file: Dockerfile does not exist:"),
        ("build_context: source", "build_context: source/Dockerfile does not exist: the image"),
        ("build_context: nowhere", None),
        ("build_file: /opt/Dockerfil", "/opt/Dockerfil does not exist: the image is pulled"),
    ],
)
@HOSTS
def test_a_recipe_that_may_be_misspelled(
    root: Path, settings: str, warning: str | None, host: Host
) -> None:
    text = CUBE.replace("image: example/x", f"image: example/x, {settings}, build_strategy: auto")
    if "build_strategy" in settings or not settings:
        text = CUBE.replace("image: example/x", f"image: example/x, {settings}")
    (root / "mlcube.yaml").write_text(text)
    (root / "source").mkdir()
    (root / "sub").mkdir()
    for name in ("Dockerfile", "sub/Dockerfile") if settings else ():
        (root / name).touch()
    if settings.startswith("build_context"):
        (root / "Dockerfile").unlink()
    (job,) = plan_jobs(request(root, "make", hosts=(host,)))
    plan = probed(job, **{"/opt/Dockerfil": "-"})
    found = [each for each in plan.image.warnings if "the image is pulled, not built" in each]
    assert len(found) == (1 if warning else 0)
    assert all(str(warning) in each for each in found)
    assert plan.image.configure[0][1] == "pull"


@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_a_build_context_next_to_the_cube_is_sent(
    root: Path, tmp_path: Path, platform: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    settings = "image: x, build_strategy: auto, build_context: ../project"
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", settings))
    run_request = request(root, "make", platform=platform)
    (job,) = plan_jobs(run_request)
    assert make_plan(job).image.configure == ((platform, "pull", "x"),), "there is no recipe"
    assert make_plan(job).context is None
    (project / "Dockerfile").touch()
    (project / ".dockerignore").write_text("# data\nbig/\n**/*.pyc\n")
    plan = probed(job)
    assert plan.context is not None
    remote = plan.context.remote
    assert remote.startswith("/r/data/project-")
    assert plan.image.configure == (
        (platform, "build", "-t", "x", "-f", f"{remote}/Dockerfile", remote),
    )
    assert plan.host_recipe == ""
    (tree,) = context_trees(plan.context)
    assert (tree.local, tree.remote, tree.mirror) == (project, remote, True)
    assert "- /big/" in tree.rules
    untrusted = attrs.evolve(run_request, trust=NO_TRUST)
    (job,) = plan_jobs(untrusted)
    assert make_plan(job).context is None
    here = request(root, "make", hosts=(LOCAL_HOST,), platform=platform)
    ((item,), _) = dry_run(here)
    assert item.configure[0] == (
        platform,
        "build",
        "-t",
        "x",
        "-f",
        f"{project}/Dockerfile",
        str(project),
    )


def test_a_recipe_outside_the_cube_is_rejected(root: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/Dockerfile").touch()
    (tmp_path / "x.def").touch()
    text = CUBE.replace("image: example/x", "image: x, build_context: ../project")
    (root / "mlcube.yaml").write_text(text)
    assert plan_jobs(request(root, "make")), "it pulls"
    text = text.replace("image: x", "image: x, build_strategy: auto")
    text = text.replace("build_context: ../project", "build_file: ../project/Dockerfile")
    (root / "mlcube.yaml").write_text(text)
    assert "build_file: '../project/Dockerfile' is outside" in str(refused(request(root, "make")))
    for source, is_sent in (("../x.def", False), ("/x.def", True), ("docker://x", True)):
        sif = f"singularity: {{image: x.sif, build_file: '{source}'}}"
        (root / "mlcube.yaml").write_text(CUBE.replace("docker: {image: example/x}", sif))
        if is_sent:
            assert plan_jobs(request(root, "make"))
        else:
            error = refused(request(root, "make", platform="apptainer"))
            assert "singularity.build_file: '../x.def' is outside" in str(error)


@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_an_absolute_recipe_is_a_path_of_the_host(
    root: Path, tmp_path: Path, platform: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "D").touch()
    sections = f"image: x, build_strategy: auto, build_context: {project}, build_file: D"
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", sections))
    run_request = request(root, "make", platform=platform)
    (job,) = plan_jobs(run_request)
    recipe = f"{project}/D"
    assert make_plan(job).probe_paths == (recipe,)
    ((item,), notes) = dry_run(run_request)
    built = (platform, "build", "-t", "x", "-f", recipe, str(project))
    assert item.configure == (built,)
    note = (
        f"the image is assumed to be built from {recipe}; "
        "if the host does not have that file, the image is pulled"
    )
    assert note in notes["h"]

    there = probed(job, **{recipe: "f"})
    assert there.image.configure == (built,)
    require.check_recipe_on_host(there)
    absent = probed(job, **{recipe: "-"})
    assert absent.image.configure == ((platform, "pull", "x"),)
    with pytest.raises(PlanError) as caught:
        require.check_recipe_on_host(absent)
    assert str(caught.value) == (
        f"{root}/mlcube.yaml:3:42: docker.build_context: {recipe} is on this machine, and not on h"
    )
    (project / "D").unlink()
    require.check_recipe_on_host(absent)


def test_a_recipe_that_is_sent_or_not_needed_is_not_probed(root: Path) -> None:
    (root / "mlcube.yaml").write_text(CUBE.replace("image: example/x", "image: x, build_file: /D"))
    (job,) = plan_jobs(request(root, "make"))
    assert make_plan(job).probe_paths == (), "it pulls"
    text = CUBE.replace("image: example/x", "image: x, build_strategy: auto")
    (root / "mlcube.yaml").write_text(text)
    (job,) = plan_jobs(request(root, "make"))
    assert make_plan(job).probe_paths == (), "it is in the cube"
