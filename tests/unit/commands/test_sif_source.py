# SPDX-License-Identifier: Apache-2.0
"""What a SIF image is built from: the rules of the reference's 0.0.10rc2, case by case."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

import attrs
import pytest
import yaml

from mlcube_remote.cube.host_paths import PathKind
from mlcube_remote.errors import PlanError
from tests.support.task_commands import DIRECTORY, FILE, LAYOUT, Make

IMAGES = "/c/workspace/.image"
MNIST = "docker: {image: 'mlcommons/mnist:0.0.1'}\n"
"""With the section below, this is the published cube."""
OWN = "singularity: {image: mnist-0.0.1.sif}\n"
RECIPE = {"/c/Singularity.recipe": FILE}


@attrs.frozen
class Case:
    """A cube, what exists, and what the reference makes of both."""

    name: str
    sections: str
    image: str
    source: str | None
    """``None``: nothing is built."""
    there: dict[str, PathKind] = attrs.field(factory=dict)


CASES = [
    Case("the docker image", MNIST, "mlcommonsmnist001.sif", "docker://mlcommons/mnist:0.0.1"),
    Case(
        "the docker image, if the image does not exist",
        MNIST + OWN,
        "mlcommonsmnist001.sif",
        "docker://mlcommons/mnist:0.0.1",
    ),
    Case(
        "the image of the section, if it exists",
        MNIST + OWN,
        "mnist-0.0.1.sif",
        None,
        {f"{IMAGES}/mnist-0.0.1.sif": FILE},
    ),
    Case(
        "a directory with the name of the image is no image",
        MNIST + OWN,
        "mlcommonsmnist001.sif",
        "docker://mlcommons/mnist:0.0.1",
        {f"{IMAGES}/mnist-0.0.1.sif": DIRECTORY},
    ),
    Case("the recipe", MNIST + OWN, "mnist-0.0.1.sif", "Singularity.recipe", RECIPE),
    Case(
        "the recipe, if the section names no image",
        MNIST + "singularity: {build_args: --fakeroot}\n",
        "Singularityrecipe.sif",
        "Singularity.recipe",
        RECIPE,
    ),
    Case(
        "the recipe, if there is no section",
        MNIST,
        "Singularityrecipe.sif",
        "Singularity.recipe",
        RECIPE,
    ),
    Case(
        "a recipe with a name of its own",
        "singularity: {build_file: sub/my-cube.def}\n",
        "submycubedef.sif",
        "sub/my-cube.def",
        {"/c/sub/my-cube.def": FILE},
    ),
    Case(
        "a recipe that does not exist",
        MNIST + "singularity: {image: x.sif, build_file: no.def}\n",
        "mlcommonsmnist001.sif",
        "docker://mlcommons/mnist:0.0.1",
        RECIPE,
    ),
    Case(
        "an address",
        MNIST + "singularity: {build_file: 'docker://a/b:1'}\n",
        "dockerab1.sif",
        "docker://a/b:1",
        RECIPE,
    ),
    Case(
        "an archive",
        "singularity: {build_file: 'docker-archive:b.tar', image: x.sif}\n",
        "x.sif",
        "docker-archive:b.tar",
    ),
    Case(
        "the docker archive, with the name of the docker image",
        "docker: {image: 'a/b:1', tar_file: b.tar}\n" + OWN,
        "ab1.sif",
        "docker-archive:b.tar",
    ),
    Case("nothing, and the image may be on the host", OWN, "mnist-0.0.1.sif", None),
    Case(
        "the image in a directory of its own",
        MNIST + "singularity: {image: x.sif, image_dir: '${runtime.root}/sifs'}\n",
        "/c/sifs/x.sif",
        None,
        {"/c/sifs/x.sif": FILE},
    ),
    Case(
        "the docker image, in the section's directory",
        MNIST + "singularity: {image: x.sif, image_dir: /sifs}\n",
        "/sifs/mlcommonsmnist001.sif",
        "docker://mlcommons/mnist:0.0.1",
    ),
    Case(
        "letters and digits of any script",
        "docker: {image: 'ä/ß_2'}\n",
        "äß2.sif",
        "docker://ä/ß_2",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_the_source_is_that_of_the_reference(make: Make, case: Case, platform: str) -> None:
    made = make(f"{case.sections}tasks: {{go: }}", platform, there=case.there)
    image = case.image if case.image.startswith("/") else f"{IMAGES}/{case.image}"
    build = (platform, "build", "--fakeroot", image, case.source)
    assert made.image == image
    assert made.configure == (() if case.source is None else (build,))
    assert made.run == ((platform, "run", image, "go"),)


def expected(
    image: str | None, build_file: str | None, docker: Mapping[str, str], exists: Collection[str]
) -> tuple[str, str | None] | None:
    """Return image and source as MLCube's rules say, in their order; ``None``: an error."""
    source = build_file or "Singularity.recipe"
    has_source = ":" in source or source in exists
    if image and image in exists:
        return image, source if has_source else None
    if has_source:
        return image or letters_and_digits(source), source
    if "image" in docker:
        archive = docker.get("tar_file")
        borrowed = f"docker-archive:{archive}" if archive else f"docker://{docker['image']}"
        return letters_and_digits(docker["image"]), borrowed
    # The image, or a recipe that somebody named, may be on the host only.
    if image:
        return image, None
    return (letters_and_digits(source), None) if build_file else None


def letters_and_digits(text: str) -> str:
    return re.sub(r"[\W_]", "", text) + ".sif"


@pytest.mark.parametrize("image", [None, "x.sif"])
@pytest.mark.parametrize("build_file", [None, "my.def", "docker://a/b:1", "docker-archive:b.tar"])
@pytest.mark.parametrize("tar_file", [None, "t.tar"])
@pytest.mark.parametrize("docker_image", [None, "c/d_e:2"])
@pytest.mark.parametrize(
    "exists", [(), ("x.sif",), ("my.def",), ("Singularity.recipe",), ("x.sif", "my.def")]
)
def test_each_combination_follows_the_rules(
    make: Make,
    image: str | None,
    build_file: str | None,
    tar_file: str | None,
    docker_image: str | None,
    exists: tuple[str, ...],
) -> None:
    docker = {"image": docker_image, "tar_file": tar_file}
    section = {"image": image, "build_file": build_file, "build_args": "--fakeroot"}
    sections = {"docker": docker, "singularity": section}
    given = {
        name: {key: value for key, value in keys.items() if value}
        for name, keys in sections.items()
    }
    there = {f"{IMAGES if name == 'x.sif' else '/c'}/{name}": FILE for name in exists}
    text = yaml.safe_dump({**given, "tasks": {"go": None}})
    rule = expected(image, build_file, given["docker"], exists)
    if rule is None:
        with pytest.raises(PlanError, match="the cube has no image for singularity"):
            make(text, "singularity", there=there)
        return
    made = make(text, "singularity", there=there)
    name, source = rule
    assert made.image == f"{IMAGES}/{name}"
    build = ("singularity", "build", "--fakeroot", made.image, source)
    assert made.configure == (() if source is None else (build,))


@pytest.mark.parametrize(
    ("override", "configure"),
    [
        ("singularity.image=mine.sif", "mine.sif docker://mlcommons/mnist:0.0.1"),
        ("singularity.build_file=docker://q", "mnist-0.0.1.sif docker://q"),
        ("docker.image=j", "j.sif docker://j"),
        ("docker.tar_file=t.tar", "mlcommonsmnist001.sif docker-archive:t.tar"),
    ],
)
def test_what_the_user_names_is_kept(make: Make, override: str, configure: str) -> None:
    made = make(f"{MNIST}{OWN}tasks: {{go: }}", "singularity", overrides=(override,))
    (build,) = made.configure
    assert build == tuple(shlex.split(f"singularity build --fakeroot {IMAGES}/{configure}"))


def test_another_source_than_the_one_of_the_section_is_a_warning(make: Make) -> None:
    made = make(f"{MNIST}{OWN}tasks: {{go: }}", "singularity")
    (warning,) = made.warnings
    assert warning.endswith(
        "mlcube.yaml:2:15: singularity.image: mnist-0.0.1.sif does not exist, so the image is "
        "built from docker://mlcommons/mnist:0.0.1"
    )
    there = {f"{IMAGES}/mnist-0.0.1.sif": FILE}
    assert make(f"{MNIST}{OWN}tasks: {{go: }}", "singularity", there=there).warnings == ()
    assert make(f"{MNIST}tasks: {{go: }}", "singularity").warnings == ()


def test_without_any_source_the_sections_are_named(make: Make) -> None:
    with pytest.raises(PlanError, match="expected `singularity: "):
        make("singularity: {run_args: -C}\ntasks: {go: }", "singularity")


def test_the_image_belongs_to_the_cube_not_to_one_of_its_jobs(make: Make) -> None:
    layout = attrs.evolve(LAYOUT, workspace="/trials/1", shared_workspace="/c/workspace")
    made = make(f"{MNIST}tasks: {{go: }}", "singularity", layout=layout)
    assert made.image == f"{IMAGES}/mlcommonsmnist001.sif"
    context = "docker: {image: i, build_context: '${runtime.workspace}', build_strategy: auto}\n"
    there: dict[str, Any] = {"/c/workspace/Dockerfile": FILE}
    built = make(f"{context}tasks: {{go: }}", "docker", layout=layout, there=there)
    assert built.source == "/c/workspace/Dockerfile"
