# SPDX-License-Identifier: Apache-2.0
"""What the build of a SIF image may do without trust: nothing outside its container and cube."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mlcube_remote.commands.model import CheckedRecipe
from mlcube_remote.cube.load import load
from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import LOCAL_HOST, Host
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.job_plan import JobPlan, make_plan
from mlcube_remote.plan.plan import plan_jobs
from mlcube_remote.trust.cube_requests import cube_requests
from mlcube_remote.trust.requests import FULL_TRUST, NO_TRUST, Trust

HOST = Host(name="h", remote_root="/r")
RECIPE = "Bootstrap: docker\nFrom: debian\n%files\n    a.py /opt\n"
EVIL = f"{RECIPE}%setup\n    touch ~/owned\n"


def plan(
    root: Path,
    section: str,
    *overrides: str,
    trusted: bool = False,
    trust: Trust = NO_TRUST,
    host: Host = HOST,
) -> JobPlan:
    root.mkdir(exist_ok=True)
    (root / "mlcube.yaml").write_text(f"name: x\nsingularity: {{{section}}}\ntasks: {{go: }}\n")
    cube = load(root, tasks=("go",), overrides=overrides)
    request = RunRequest(
        cube=cube,
        hosts=(host,),
        tasks=("go",),
        run_id="run",
        platform="apptainer",
        trust=FULL_TRUST if trusted else trust,
    )
    (job,) = plan_jobs(request)
    return make_plan(job)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "cube"
    made.mkdir()
    (made / "x.def").write_text(RECIPE)
    return made


@pytest.mark.parametrize("host", [HOST, LOCAL_HOST], ids=["remote", "local"])
def test_a_recipe_that_runs_on_the_host_needs_trust(root: Path, host: Host) -> None:
    (root / "x.def").write_text(EVIL)
    for overrides in ((), ("singularity.build_file=x.def",)):
        with pytest.raises(PlanError) as refused:
            plan(root, "build_file: x.def", *overrides, host=host)
        said = "x.def: '%setup: touch ~/owned' runs on the host, outside the container"
        assert refused.value.message.startswith(f"{root}/x.def:5: a cube may not ask for this")
        assert said in refused.value.message
        assert "or add --trust-cube" in str(refused.value.hint)
    assert plan(root, "build_file: x.def", trusted=True, host=host).image.recipe is None


def test_the_default_recipe_is_checked_too(root: Path) -> None:
    (root / "Singularity.recipe").write_text(EVIL)
    with pytest.raises(PlanError, match=r"Singularity\.recipe:5: a cube may not"):
        plan(root, "image: x.sif")


def test_the_host_gets_the_digest_of_what_was_checked(root: Path) -> None:
    digest = hashlib.sha256(RECIPE.encode()).hexdigest()
    expected = CheckedRecipe(digest=digest, copied=("a.py",))
    assert plan(root, "build_file: x.def").image.recipe == expected


@pytest.mark.parametrize(
    "section",
    [
        "build_file: /opt/x.def",
        "build_file: ~/x.def",
        "build_file: 'docker-archive:/opt/x.tar'",
        "build_file: 'docker-archive:../x.tar'",
        "build_file: 'docker-daemon:x'",
        "build_file: 'oci:/opt/x'",
        "build_file: x.def, image: ~/.bash_profile",
        "build_file: x.def, image: /opt/x.sif",
        "build_file: x.def, image: ../../../x.sif",
        "build_file: x.def, image_dir: ~/bin",
        "build_file: x.def, image_dir: //etc",
        "build_file: binary",
        "build_file: long.def",
    ],
)
def test_a_path_outside_the_cube_needs_trust(root: Path, section: str) -> None:
    (root / "binary").write_bytes(b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0")
    (root / "long.def").write_text(RECIPE + "#" * 1024**2 + "\n%setup\n touch x\n")
    with pytest.raises(PlanError) as refused:
        plan(root, section)
    assert "or add --trust-cube" in str(refused.value.hint)
    assert plan(root, section, trusted=True).image.configure


@pytest.mark.parametrize(
    ("section", "overrides"),
    [
        ("image: x.sif", ("singularity.build_file=/opt/x.def",)),
        ("build_file: x.def", ("singularity.image_dir=/opt",)),
        ("build_file: x.def", ("singularity.image=/opt/x.sif",)),
        ("image: x.sif", ("singularity.build_file=binary",)),
        ("image: x.sif", ("singularity.build_file=docker-daemon:x",)),
        ("image: x.sif, build_file: 'docker-archive:sub/x.tar:tag'", ()),
        ("image: x.sif, build_file: 'library://a/b'", ()),
    ],
)
def test_what_the_user_names_and_what_stays_inside_does_not(
    root: Path, section: str, overrides: tuple[str, ...]
) -> None:
    (root / "binary").write_bytes(b"\0")
    assert plan(root, section, *overrides).image.image


def test_a_recipe_that_is_a_pipe_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe.def")
    with pytest.raises(PlanError, match="cannot be read here as a recipe"):
        plan(root, "build_file: pipe.def")


def test_a_yes_is_for_the_content_that_was_shown(root: Path) -> None:
    (root / "x.def").write_text(EVIL)
    section = "build_file: x.def, image: x.sif"
    plan(root, section, trusted=True)
    shown = cube_requests(load(root))
    assert [request.what.partition(":")[0] for request in shown] == ["x.def"]
    trust = Trust(granted=frozenset(request.what for request in shown))
    recipe = plan(root, section, trust=trust).image.recipe
    assert recipe is not None, "the host builds what was shown, and nothing else"
    assert recipe.digest == hashlib.sha256(EVIL.encode()).hexdigest()
    (root / "x.def").write_text(f"{EVIL}    touch ~/more\n")
    with pytest.raises(PlanError):
        plan(root, section, trust=trust)
