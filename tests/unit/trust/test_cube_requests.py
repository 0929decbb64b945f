# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcube_remote.commands.model import TaskCommands
from mlcube_remote.cube.host_paths import Layout, PathKind, contains
from mlcube_remote.cube.load import load
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType, Task
from mlcube_remote.errors import PlanError
from mlcube_remote.trust.cube_requests import cube_requests, task_requests
from mlcube_remote.trust.requests import Trust

Make = Callable[..., TaskCommands]


def requests_of(folder: Path, text: str, **how: Any) -> list[str]:
    (folder / "mlcube.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return [request.what for request in cube_requests(load(folder, **how))]


def with_parameter(group: str, value: str, kind: str) -> str:
    return (
        "docker: {image: i}\n"
        f"tasks: {{go: {{parameters: {{{group}: {{a: {{default: '{value}', type: {kind}}}}}}}}}}}\n"
    )


OUTSIDE = [
    "/",
    "/etc/",
    "//etc/",
    "///etc/",
    "//etc/../etc/ssh/",
    "/var/run/docker.sock",
    "/proc/1/",
    "/opt/",
    "/srv/x/",
    "/mnt/",
    "/data/x/",
    "/tmp/x/",
    "~/",
    "~",
    "~/bin/",
    "~/.cache/x/",
    "~/.git-credentials",
    "~other/x",
    "$HOME/.aws/credentials",
    "../../../../etc/",
    "../../x/",
    "x/../../../y/",
    "${runtime.root}/../x/",
    "${runtime.workspace}/../../x/",
    "remote:/etc/",
    "remote://etc/",
    "remote:~/x",
    "local:~/.ssh/id_rsa",
    "local:/etc/passwd",
    "local:../x",
]


@pytest.mark.parametrize("group", ["inputs", "outputs"])
@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("value", OUTSIDE)
def test_a_path_outside_the_cube_is_a_request(
    tmp_path: Path, value: str, kind: str, group: str
) -> None:
    (found,) = requests_of(tmp_path, with_parameter(group, value, kind))
    assert found.startswith(f"task go: {group[:-1]} a: ")
    # A value of the command line is the user's own.
    assert not requests_of(tmp_path, with_parameter(group, value, kind), task_args={"a": value})


INSIDE = [
    "x/",
    "x/y",
    "./",
    ".",
    "x/../y/",
    "./a//b/",
    "${runtime.workspace}/x",
    "${workspace}/x/",
    "${runtime.root}/workspace/x/",
    "$OTHER/x",
    "a~/y/",
]


@pytest.mark.parametrize("group", ["inputs", "outputs"])
@pytest.mark.parametrize("value", INSIDE)
def test_a_path_in_the_workspace_is_no_request(tmp_path: Path, value: str, group: str) -> None:
    assert not requests_of(tmp_path, with_parameter(group, value, "directory"))


@pytest.mark.parametrize(
    "value", ["../x/", "${runtime.root}/.git/hooks/", "${runtime.root}", "x/../../y"]
)
def test_only_inputs_may_be_anywhere_in_the_cube(tmp_path: Path, value: str) -> None:
    assert not requests_of(tmp_path, with_parameter("inputs", value, "directory"))
    (found,) = requests_of(tmp_path, with_parameter("outputs", value, "directory"))
    assert "outside its workspace" in found


def test_the_directory_of_the_cube_is_read_only_on_this_machine(tmp_path: Path, make: Make) -> None:
    text = with_parameter("inputs", "${runtime.root}/src/", "directory")
    here = Layout(root=str(tmp_path), workspace=f"{tmp_path}/workspace", home="/home/me")
    mount = f"{tmp_path}/src:/mlcube_io0"
    assert f"{mount}:ro" in make(text, layout=here).run[-1]
    assert mount in make(text, layout=here, trusted=True).run[-1]
    assert mount in make(text, layout=here, args={"a": f"{tmp_path}/src/"}).run[-1]
    assert "/c/src:/mlcube_io0" in make(text).run[-1], "a mirror on a host is never copied back"
    inside = with_parameter("inputs", "data/", "directory")
    assert f"{tmp_path}/workspace/data:/mlcube_io0" in make(inside, layout=here).run[-1]
    (request,) = requests_of(tmp_path, text.replace("type: dir", "opts: rw, type: dir"))
    assert "writable, in the cube's directory" in request


def test_files_of_the_cube_on_this_machine_are_no_request(tmp_path: Path) -> None:
    inside = tmp_path / "workspace" / "x"
    assert not requests_of(tmp_path, with_parameter("inputs", f"local:{inside}", "file"))
    assert not requests_of(tmp_path, with_parameter("outputs", f"local:{inside}", "file"))
    neighbour = f"local:{tmp_path / 'hosts.yaml'}"
    assert not requests_of(tmp_path, with_parameter("inputs", neighbour, "file"))
    assert requests_of(tmp_path, with_parameter("outputs", neighbour, "file"))


MOUNTS = ["/", "//etc/", "/data/x/", "~/", "~/.ssh/", "$HOME/.aws/credentials", "../../../../etc/"]


@pytest.mark.parametrize("path", MOUNTS)
def test_a_mount_outside_the_cube_needs_trust(make: Make, path: str) -> None:
    text = with_parameter("inputs", path, "directory" if path.endswith("/") else "file")
    with pytest.raises(PlanError, match="a cube may not ask for this without your trust") as error:
        make(text)
    assert "give a=PATH yourself" in str(error.value.hint)
    assert "mlcube-remote trust /" in str(error.value.hint)
    assert make(text, trusted=True).run
    assert make(text, args={"a": path}).run


CONTEXTS = ["/", "/etc", "//etc", "/home/me/.ssh", "~/x", "../../etc", "/srv/project", "../project"]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("platform", ["docker", "podman"])
def test_an_image_is_built_outside_the_cube_only_with_trust(
    make: Make, platform: str, context: str
) -> None:
    settings = f"image: i, build_context: '{context}', build_file: '${{runtime.root}}/D'"
    text = f"docker: {{build_strategy: auto, {settings}}}\ntasks: {{go: }}\n"
    there = {"/c/D": PathKind.FILE}
    pulled = make(text, platform, there=there)
    assert [command[1] for command in pulled.configure] == ["pull"]
    (warning,) = pulled.warnings
    assert "docker.build_context: an image build from" in warning
    assert "mlcube-remote trust" in warning
    own = {"docker": {"build_context": context}}
    recipe = "build_file: '${runtime.root}/D'"
    without = f"docker: {{image: i, build_strategy: auto, {recipe}}}\ntasks: {{go: }}\n"
    for built in (
        make(text, platform, there=there, trusted=True),
        make(without, platform, there=there, host=own),
        make(text, platform, there=there, overrides=(f"docker.build_context={context}",)),
    ):
        assert [command[1] for command in built.configure] == ["build"]
        assert not built.warnings
    assert not make(text.replace("auto", "pull"), platform, there=there).warnings


SETTINGS: list[tuple[str, str | None]] = [
    ("docker: {image: i, build_context: ., build_file: sub/Dockerfile}", None),
    ("docker: {image: i, build_context: ../x, build_strategy: pull}", None),
    ("docker: {image: i, build_file: /etc/passwd}", "docker.build_file: an image build from"),
    ("docker: {image: i, build_file: ../x}", "docker.build_file: an image build from ../x"),
    ("docker: {image: i, tar_file: image.tar}", None),
    ("docker: {image: i, tar_file: /opt/image.tar}", "docker.tar_file: the image file"),
    ("singularity: {image: x.sif}", None),
    ("singularity: {image: x.sif, image_dir: '${runtime.root}/images'}", None),
    ("singularity: {image: ../x.sif}", None),
    ("singularity: {image: ../../../x.sif}", "singularity.image: the image file ../../../x.sif"),
    ("singularity: {image: /opt/x.sif}", "singularity.image: the image file /opt/x.sif"),
    ("singularity: {image: ~/bin/x}", "singularity.image: the image file ~/bin/x"),
    ("singularity: {image: x, image_dir: ~/.ssh}", "singularity.image_dir: image files in ~/.ssh"),
    ("singularity: {image: x, build_file: recipes/x.def}", None),
    ("singularity: {image: x, build_file: 'docker://a/b:1'}", None),
    ("singularity: {image: x, build_file: 'docker-archive:image.tar'}", None),
    ("singularity: {image: x, build_file: 'docker-archive:/x.tar'}", "build_file: an image build"),
    ("singularity: {image: x, build_file: 'docker-archive:../../x'}", "build_file: an image build"),
    ("singularity: {image: x, build_file: 'docker-daemon:i:latest'}", "build_file: an image build"),
    ("singularity: {image: x, build_file: 'file:///etc/x'}", "build_file: an image build"),
    ("singularity: {image: x, build_file: /etc/passwd}", "build_file: an image build from /etc/pa"),
    ("apptainer: {image: x, build_file: ~/x.def}", "apptainer.build_file: an image build from"),
]


@pytest.mark.parametrize(("section", "expected"), SETTINGS)
def test_recipes_and_image_files_outside_the_cube_are_requests(
    tmp_path: Path, section: str, expected: str | None
) -> None:
    found = requests_of(tmp_path, f"{section}\ntasks: {{go: }}\n")
    if expected is None:
        assert not found
    else:
        assert [request for request in found if expected in request]


def test_variables_of_this_machine_reach_a_cube_only_with_trust(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", "s3cr3t")
    monkeypatch.delenv("NOT_SET", raising=False)
    spellings = (
        "${oc.env:THE_SECRET}",
        "${env:THE_SECRET}",
        "${ oc.env : THE_SECRET }",
        "${oc.${half}:THE_SECRET}",
        "${oc.env:${name}}",
        "${oc.decode:'${oc.env:THE_SECRET}'}",
        "${oc.env:THE_SECRET,default}",
        "${other}",
    )
    for spelling in spellings:
        text = (
            "half: env\nname: THE_SECRET\nother: '${oc.env:THE_SECRET}'\n"
            f'docker: {{image: i, env_args: {{A: "{spelling}"}}}}\ntasks: {{go: }}\n'
        )
        with pytest.raises(PlanError, match=r"\$THE_SECRET") as refused:
            make(text)
        assert "s3cr3t" not in f"{refused.value} {refused.value.hint}"
        assert "s3cr3t" not in repr(load(tmp_path))
        assert "--env THE_SECRET" in str(refused.value.hint)
        assert load(tmp_path, allows_variable=lambda _: True).settings["docker"]["env_args"] == {
            "A": "s3cr3t"
        }
    harmless = "docker: {image: 'i:${oc.env:NOT_SET,1}'}\ntasks: {go: }\n"
    assert make(harmless).image == "i:1"
    typed = make(
        "docker: {image: i}\ntasks: {go: }\n", overrides=("docker.image=${oc.env:THE_SECRET}",)
    )
    assert typed.image == "s3cr3t", "the user typed it"


def test_a_yes_counts_for_the_requests_that_were_shown_only(tmp_path: Path) -> None:
    shown = "docker: {image: i, cpu_args: --privileged}\ntasks: {go: }\n"
    requests_of(tmp_path, shown)
    trust = Trust(granted=frozenset(r.what for r in cube_requests(load(tmp_path))))
    assert not trust.missing(cube_requests(load(tmp_path)))
    requests_of(tmp_path, f"# a comment moves the lines\n{shown}")
    assert not trust.missing(cube_requests(load(tmp_path)))
    requests_of(tmp_path, shown.replace("--privileged", "'--privileged --pid=host'"))
    (more,) = trust.missing(cube_requests(load(tmp_path)))
    assert more.what == "docker.cpu_args: --privileged --pid=host"


COMPONENTS = st.sampled_from(
    ["", ".", "..", "a", "b", "~", "$HOME", "${runtime.root}", "${runtime.workspace}", "remote:"]
)


SPELLINGS = st.tuples(
    st.sampled_from(["", "/", "//", "~", "~/", "remote:", "remote:/"]),
    st.lists(COMPONENTS, min_size=1, max_size=8),
).map(lambda parts: parts[0] + "/".join(parts[1]))


@settings(max_examples=2000, deadline=None)
@given(SPELLINGS, st.sampled_from(IO), st.sampled_from(ParameterType))
def test_no_spelling_leaves_the_cube_without_a_request(
    value: str, io: IO, kind: ParameterType
) -> None:
    parameter = Parameter(name="a", io=io, value=value, type=kind)
    task = Task(name="go", parameters=(parameter,))
    here = Path("/c")
    cube = Cube(
        name="x",
        root=here,
        file=here / "mlcube.yaml",
        workspace=here / "workspace",
        tasks={"go": task},
        settings={},
    )
    if list(task_requests(cube, task)):
        return
    path = value.removeprefix("remote:")
    for name, meaning in (("${runtime.root}", "/c"), ("${runtime.workspace}", "/c/workspace")):
        path = path.replace(name, meaning)
    path = path.replace("$HOME", "/home")
    if path.startswith("~"):
        path = f"/home{path[1:]}"
    allowed = "/c" if io is IO.INPUT else "/c/workspace"
    assert contains(allowed, path if path.startswith("/") else f"/c/workspace/{path}")
