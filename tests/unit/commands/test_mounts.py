# SPDX-License-Identifier: Apache-2.0
"""Mounts and arguments of parameters."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcube_remote.commands.model import Options
from mlcube_remote.errors import PlanError
from tests.support.task_commands import DIRECTORY, FILE, Make, cube, inputs, outputs
from tests.support.task_commands import WORKSPACE as W

PARAMETERS = [
    pytest.param(inputs("a: data/"), f"-v {W}/data:0", "--a=0", id="trailing slash is a directory"),
    pytest.param(inputs("a: 'data\\'"), f"-v '{W}/data\\:0'", "--a=0", id="so is a backslash"),
    pytest.param(
        inputs("a: {default: d, type: directory}"),
        f"-v {W}/d:0",
        "--a=0",
        id="declared directory",
    ),
    pytest.param(
        inputs("a: {default: d/f.txt, type: file}"),
        f"-v {W}/d:0",
        "--a=0/f.txt",
        id="the directory of a file is mounted",
    ),
    pytest.param(inputs("a: there.txt"), f"-v {W}:0", "--a=0/there.txt", id="existing file"),
    pytest.param(inputs("a: there"), f"-v {W}/there:0", "--a=0", id="existing directory"),
    pytest.param(inputs("a: {type: file}"), f"-v {W}:0", "--a=0/a", id="the name is the default"),
    pytest.param(inputs("a: {type: directory}, b: "), None, None, id="no type is refused"),
    pytest.param(inputs("a: /data/x/"), "-v /data/x:0", "--a=0", id="absolute"),
    pytest.param(inputs("a: ~/x/"), "-v /home/me/x:0", "--a=0", id="home"),
    pytest.param(inputs("a: $HOME/x/"), "-v /home/me/x:0", "--a=0", id="HOME variable"),
    pytest.param(inputs("a: '$other/x/'"), f"-v '{W}/$other/x:0'", "--a=0", id="unknown variable"),
    pytest.param(inputs("a: ./"), f"-v {W}:0", "--a=0", id="the workspace itself"),
    pytest.param(inputs("a: '${workspace}/x/'"), f"-v {W}/x:0", "--a=0", id="workspace variable"),
    pytest.param(inputs("a: '${runtime.root}/x/'"), "-v /c/x:0", "--a=0", id="root variable"),
    pytest.param(inputs("a: x//y/./"), f"-v {W}/x/y:0", "--a=0", id="slashes are folded"),
    pytest.param(
        inputs("a: x/, b: {default: x/f, type: file}"),
        f"-v {W}/x:0",
        "--a=0 --b=0/f",
        id="one directory is mounted once",
    ),
    pytest.param(
        "{outputs: {o: out/}, inputs: {i: in/}}",
        f"-v {W}/in:0 -v {W}/out:1",
        "--i=0 --o=1",
        id="inputs come first",
    ),
    pytest.param(inputs("a: {default: x/, opts: ro}"), f"-v {W}/x:0:ro", "--a=0", id="read-only"),
    pytest.param(
        inputs("a: {default: x/, opts: ro}, b: {default: x/, opts: rw}"),
        f"-v {W}/x:0:rw",
        "--a=0 --b=0",
        id="conflicting options become rw",
    ),
    pytest.param(outputs("o: thing"), None, None, id="an output of unknown type is refused"),
    pytest.param(inputs("a: gone"), None, None, id="an input of unknown type is refused"),
    pytest.param(inputs("a: ~bob/x/"), None, None, id="another user's home is refused"),
]


@pytest.mark.parametrize(("parameters", "volumes", "arguments"), PARAMETERS)
def test_parameters_become_mounts_and_arguments(
    make: Make, parameters: str, volumes: str | None, arguments: str | None
) -> None:
    there = {f"{W}/there": DIRECTORY, f"{W}/there.txt": FILE}
    if volumes is None or arguments is None:
        with pytest.raises(PlanError):
            make(cube(parameters), there=there)
        return
    run = make(cube(parameters), there=there).run
    expected = ["docker", "run"]
    for word in shlex.split(volumes):
        if word == "-v":
            expected.append("--volume")
        else:
            source, _, rest = word.partition(":")
            expected.append(f"{source}:/mlcube_io{rest}")
    expected += ["repo/image:1", "go"]
    expected += [word.replace("=", "=/mlcube_io", 1) for word in arguments.split()]
    assert run == (tuple(expected),)


MOUNT_OPTIONS: list[Any] = [
    ("{inputs: {i: in/}, outputs: {o: out/}}", Options(mount="ro"), {}, ["/in:ro", "/out"]),
    ("{inputs: {i: {default: in/, opts: rw}}}", Options(mount="ro"), {}, ["/in:ro"]),
    ("{inputs: {i: {default: in/, opts: rw}}}", Options(), {"--mount_opts": "ro"}, ["/in:rw"]),
    ("{inputs: {i: in/}}", Options(), {"--mount_opts": "ro"}, ["/in:ro"]),
]


@pytest.mark.parametrize(("parameters", "options", "host", "expected"), MOUNT_OPTIONS)
def test_the_mount_option_applies_to_inputs(
    make: Make, parameters: str, options: Options, host: dict[str, str], expected: list[str]
) -> None:
    run = make(cube(parameters), options=options, host={"docker": host}).run[-1]
    volumes = [word for word in run if word.startswith(W)]
    assert [
        word.removeprefix(W).replace(f":/mlcube_io{index}", "")
        for index, word in enumerate(volumes)
    ] == expected


@pytest.mark.parametrize(
    ("parameters", "is_read_only"),
    [
        ("{inputs: {i: d/}, outputs: {o: {type: file, default: d/f}}}", True),
        ("{inputs: {i: d/}, outputs: {o: d/}}", True),
        ("{outputs: {o: {default: d/, opts: ro}}}", True),
        # Each has a mount of its own, which the other one does not make read-only.
        ("{inputs: {i: {type: file, default: f}}, outputs: {o: d/}}", False),
        ("{inputs: {i: d/}, outputs: {o: d/sub/}}", False),
        ("{inputs: {i: d/sub/}, outputs: {o: d/}}", False),
        ("{inputs: {i: d/}, outputs: {o: {type: file, default: d/sub/f}}}", False),
        ("{inputs: {i: d/}, outputs: {o: {default: d/, opts: rw}}}", False),
    ],
)
def test_an_output_in_a_read_only_mount_is_a_warning(
    make: Make, parameters: str, is_read_only: bool
) -> None:
    warnings = make(cube(parameters), options=Options(mount="ro")).warnings
    expected = ["output o is in a directory that is mounted read-only" in text for text in warnings]
    assert expected == ([True] if is_read_only else [])


COLONS = [
    ("docker", "/a:b/", "type=bind,source=/a:b,target=/mlcube_io0"),
    ("docker", "/a:b,c/", 'type=bind,"source=/a:b,c",target=/mlcube_io0'),
    ("docker", '/a:"b/', 'type=bind,"source=/a:""b",target=/mlcube_io0'),
    ("podman", "/a:b/", "type=bind,source=/a:b,target=/mlcube_io0"),
]


@pytest.mark.parametrize(("platform", "path", "expected"), COLONS)
def test_a_path_with_a_colon_is_mounted_with_csv(
    make: Make, platform: str, path: str, expected: str
) -> None:
    run = make(cube(inputs("i: x/")), platform, args={"i": path}).run[-1]
    assert run[2:4] == ("--mount", expected)


@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_sif_paths_with_separators_are_mounted_with_csv(make: Make, platform: str) -> None:
    text = cube(inputs("a: {default: '/a:b/', opts: ro}, b: '/c,d/', c: '/e\\f/'"))
    assert make(text, platform).run[-1][2:8] == (
        "--mount",
        "type=bind,source=/a:b,destination=/mlcube_io0,ro",
        "--mount",
        'type=bind,"source=/c,d",destination=/mlcube_io1',
        "--bind",
        "/e\\f:/mlcube_io2",
    )


def test_sif_binds_have_mount_options(make: Make) -> None:
    run = make(cube(inputs("a: {default: /x/, opts: ro}")), "singularity").run[-1]
    assert run[2:4] == ("--bind", "/x:/mlcube_io0:ro")


@pytest.mark.parametrize(("label", "relabel"), [("z", "shared"), ("Z", "private")])
def test_podman_labels_mounts_for_selinux(make: Make, label: str, relabel: str) -> None:
    host = {"podman": {"selinux": label}}
    text = cube(inputs("a: {default: /x/, opts: ro}, b: '/y:/'"))
    run = make(text, "podman", host=host).run[-1]
    assert run[2:6] == (
        "--volume",
        f"/x:/mlcube_io0:ro,{label}",
        "--mount",
        f"type=bind,source=/y:,target=/mlcube_io1,relabel={relabel}",
    )


def test_a_read_only_path_with_a_colon(make: Make) -> None:
    run = make(cube(inputs("a: {default: '/x:/', opts: ro}"))).run[-1]
    assert run[3] == "type=bind,source=/x:,target=/mlcube_io0,readonly"


PATHS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(PATHS.filter(lambda text: text.strip("/.") and not text.startswith("~") and "$" not in text))
def test_a_path_is_one_argument(make: Make, value: str) -> None:
    text = cube("{inputs: {i: {type: file, default: d}}}")
    run = make(text, args={"i": f"/base/{value}/end"}).run[-1]
    assert run[:2] == ("docker", "run")
    assert len(run) == 7
    assert run[-1] == "--i=/mlcube_io0/end"
