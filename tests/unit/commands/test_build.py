# SPDX-License-Identifier: Apache-2.0
"""Commands that are built, and mistakes that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.commands.build import MAX_WORD_BYTES, build_all
from mlcube_remote.commands.model import Copy, Options, Target
from mlcube_remote.cube.host_paths import Layout
from mlcube_remote.cube.load import load
from mlcube_remote.errors import CubeError, PlanError
from tests.support.task_commands import DIRECTORY, FILE, WORKSPACE, Make, cube, inputs, outputs


def test_an_image_is_configured_without_a_task(tmp_path: Path) -> None:
    text = cube(outputs("o: of_unknown_type"), docker="image: i, build_strategy: auto")
    (tmp_path / "mlcube.yaml").write_text(text, encoding="utf-8")
    target = Target(
        platform="docker",
        host_settings={"docker": {"docker": "sudo docker"}},
        layout=Layout(root="/c", workspace="/c/workspace", home="/home/me"),
        kind_of={"/c/Dockerfile": FILE}.get,
    )
    image = build_all(load(tmp_path), (), target).image
    build = ("sudo", "docker", "build", "-t", "i", "-f", "/c/Dockerfile", "/c")
    assert image.configure == (build,)


def test_missing_directories_are_created_with_their_parents(make: Make) -> None:
    made = make(cube("{inputs: {a: x/y/}, outputs: {o: /out/z/}}"), there={WORKSPACE: DIRECTORY})
    assert made.directories == (WORKSPACE, f"{WORKSPACE}/x/y", "/out/z")
    assert made.creates == (f"{WORKSPACE}/x", f"{WORKSPACE}/x/y", "/out", "/out/z")


MANY = [f"i{number}" for number in range(14)]


REFUSED: list[Any] = [
    pytest.param(cube(inputs("i: '/a:b,c/'")), "podman", {}, "podman cannot mount", id="both"),
    pytest.param(cube(), "doker", {}, "did you mean 'docker'", id="unknown platform"),
    pytest.param(cube(docker="build_file: D"), "docker", {}, "has no image", id="no image"),
    pytest.param(
        "singularity: {image: x}\ntasks: {go: }",
        "docker",
        {},
        "has no image for docker",
        id="sif",
    ),
    pytest.param(
        cube(docker="image: -v"), "docker", {}, "does not start with '-'", id="dash image"
    ),
    pytest.param(cube(docker='image: "a\\nb"'), "docker", {}, "control characters", id="newline"),
    pytest.param(
        cube(docker="image: i, build_file: -x"), "docker", {}, "docker.build_file", id="dash recipe"
    ),
    pytest.param(
        cube(),
        "docker",
        {"host": {"docker": {"docker": " "}}},
        "expected a program",
        id="no program",
    ),
    pytest.param(
        cube(), "docker", {"host": {"docker": {"cpu_args": "'x"}}}, "No closing quot", id="quotes"
    ),
    pytest.param(
        cube(),
        "docker",
        {"host": {"docker": {"env_args": {"A": "\ud800"}}}},
        "an argument is not text",
        id="half a character",
    ),
    pytest.param(
        cube(),
        "docker",
        {"host": {"docker": {"env_args": {"A": "\0"}}}},
        "an argument contains a NUL",
        id="NUL from elsewhere",
    ),
    pytest.param(
        "platform: {}\ntasks: {go: }\n", "singularity", {}, "has no image", id="no section"
    ),
    pytest.param(cube(), "docker", {"options": Options(mount="x")}, "--mount=x", id="mount"),
    pytest.param(cube(), "docker", {"options": Options(cpu="\0")}, "--cpu: the value", id="NUL"),
    pytest.param(
        cube(), "docker", {"overrides": ("runner.imag=x",)}, "no such setting", id="runner key"
    ),
    pytest.param(
        cube(), "docker", {"overrides": ("runner.image=[1]",)}, "got a list", id="runner value"
    ),
    pytest.param(
        cube(inputs("i: x/")),
        "docker",
        {"args": {"i": "x" * MAX_WORD_BYTES + "/"}},
        "more than the limit of 131071",
        id="one long argument",
    ),
    pytest.param(
        cube(inputs(", ".join(f"{name}: x/" for name in MANY))),
        "docker",
        {"args": {name: f"{name}{'x' * 120_000}/" for name in MANY}},
        "more than the limit of 1500000",
        id="a long command",
    ),
]


@pytest.mark.parametrize(("text", "platform", "how", "message"), REFUSED)
def test_each_mistake_is_one_line(
    make: Make, text: str, platform: str, how: dict[str, Any], message: str
) -> None:
    with pytest.raises((PlanError, CubeError)) as refused:
        make(text, platform, **how)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_section_without_an_image_is_completed_not_avoided(make: Make) -> None:
    with pytest.raises(PlanError) as refused:
        make(cube(docker="build_file: D"), "docker")
    assert refused.value.hint == "add the image to its section: docker: {image: NAME}"


def test_another_workspace_starts_with_the_inputs_of_the_cube(make: Make) -> None:
    text = (
        "docker: {image: i}\ntasks:\n"
        "  go: {parameters: {inputs: {a: in, b: made/, c: '/abs/', d: have/, e: ./, f: gone/}}}\n"
        "  make: {parameters: {outputs: {b: made/}}}\n"
    )
    own = f"{WORKSPACE}/"
    there = {f"{own}{name}": DIRECTORY for name in ("in", "made", "have", "")}
    there |= {"/ws/have": DIRECTORY, "/abs": DIRECTORY, WORKSPACE: DIRECTORY}
    layout = Layout(root="/c", workspace="/ws", home="/home/me")
    made = make(text, layout=layout, there=there, task="go")
    assert made.copies == (Copy(source=f"{WORKSPACE}/in", target="/ws/in", kind=DIRECTORY),)
    assert "/ws/in:/mlcube_io0" in made.run[-1]
