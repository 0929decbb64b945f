# SPDX-License-Identifier: Apache-2.0
"""Our own table of what each rule of MLCube comes to; one case or more per rule."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcube_remote.commands.build import MAX_WORD_BYTES, build_image
from mlcube_remote.commands.model import Copy, Options, Target, TaskCommands
from mlcube_remote.cube.host_paths import Layout, PathKind
from mlcube_remote.cube.load import load
from mlcube_remote.errors import CubeError, PlanError

Make = Callable[..., TaskCommands]

FILE, DIRECTORY = PathKind.FILE, PathKind.DIRECTORY
SIF = "/c/workspace/.image/repoimage1.sif"


def cube(parameters: str = "{}", docker: str = "image: repo/image:1", task: str = "") -> str:
    return (
        f"name: x\ndocker: {{{docker}}}\n"
        f"tasks:\n  go:\n    {task or 'description: a task'}\n    parameters: {parameters}\n"
    )


def inputs(text: str) -> str:
    return f"{{inputs: {{{text}}}}}"


def outputs(text: str) -> str:
    return f"{{outputs: {{{text}}}}}"


W = "/c/workspace"

PARAMETERS = [
    pytest.param(inputs("a: data/"), f"-v {W}/data:0", "--a=0", id="trailing slash is a directory"),
    pytest.param(inputs("a: 'data\\'"), f"-v '{W}/data\\:0'", "--a=0", id="so is a backslash"),
    pytest.param(
        inputs("a: {default: d, type: directory}"), f"-v {W}/d:0", "--a=0", id="declared directory"
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


SETTINGS: list[Any] = [
    # docker section, arguments of make, expected command
    pytest.param("image: i", {}, "docker run i go", id="plain"),
    pytest.param("image: i, docker: sudo docker", {}, "sudo docker run i go", id="executable"),
    pytest.param(
        "image: i, cpu_args: --shm-size=2g --ulimit 'x=1 2'",
        {},
        "docker run --shm-size=2g --ulimit 'x=1 2' i go",
        id="cpu_args are split as in a shell",
    ),
    pytest.param(
        "image: i, gpu_args: --gpus all, cpu_args: --init",
        {"options": Options(gpus="2")},
        "docker run --gpus all --gpus=2 i go",
        id="gpu_args with --gpus",
    ),
    pytest.param(
        "image: i, gpu_args: --gpus all, cpu_args: --init",
        {"options": Options(gpus="")},
        "docker run --init i go",
        id="cpu_args with empty --gpus",
    ),
    pytest.param(
        "image: i, gpu_args: --init",
        {"overrides": ("platform.accelerator_count=2",)},
        "docker run --init --gpus=2 i go",
        id="accelerator_count requests devices",
    ),
    pytest.param(
        "image: i",
        {"overrides": ("platform.accelerator_count=2",), "options": Options(gpus="0")},
        "docker run i go",
        id="--gpus overrides accelerator_count",
    ),
    pytest.param(
        "image: i, env_args: {A: 1, B: two words, C: }",
        {},
        "docker run -e A=1 -e 'B=two words' -e C= i go",
        id="env_args do not split values",
    ),
    pytest.param("image: i, env_args: -e A=1", {}, "docker run -e A=1 i go", id="env_args as text"),
    pytest.param(
        "image: i, env_args: {A: 1}",
        {"host": {"docker": {"env_args": {"A": 0, "B": 2}}}},
        "docker run -e A=1 -e B=2 i go",
        id="mlcube.yaml overrides the host",
    ),
    pytest.param(
        "image: i, cpu_args: --init",
        {"overrides": ("docker.cpu_args=--rm",), "host": {"docker": {"cpu_args": "--x"}}},
        "docker run --rm i go",
        id="-P overrides mlcube.yaml",
    ),
    pytest.param(
        "image: i, --memory: 1g",
        {"options": Options(memory="2g"), "overrides": ("docker.--memory=3g",)},
        "docker run --memory=2g i go",
        id="options override -P",
    ),
    pytest.param(
        "image: i",
        {"options": Options(memory="2g"), "overrides": ("runner.--memory=3g",)},
        "docker run --memory=3g i go",
        id="-P runner overrides all",
    ),
    pytest.param(
        "image: i",
        {"options": Options(network="none", security="x y", memory="4g", cpu="0-1")},
        "docker run --network=none '--security-opt=x y' --memory=4g --cpuset-cpus=0-1 i go",
        id="limits",
    ),
    pytest.param(
        "image: i", {"platform": "podman"}, "podman run i go", id="podman runs a docker cube"
    ),
    pytest.param(
        "image: i, docker: sudo docker",
        {"platform": "podman", "host": {"podman": {"podman": "/opt/bin/podman"}}},
        "/opt/bin/podman run i go",
        id="podman has its own executable",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="2")},
        "podman run --device=nvidia.com/gpu=0 --device=nvidia.com/gpu=1 i go",
        id="podman gets a number of devices through CDI",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="device=1,3")},
        "podman run --device=nvidia.com/gpu=1 --device=nvidia.com/gpu=3 i go",
        id="podman gets named devices through CDI",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "options": Options(gpus="all")},
        "podman run --device=nvidia.com/gpu=all i go",
        id="podman gets all devices",
    ),
    pytest.param(
        "image: i",
        {"platform": "podman", "host": {"podman": {"--userns": "keep-id"}}},
        "podman run --userns=keep-id i go",
        id="podman userns",
    ),
]


@pytest.mark.parametrize(("docker", "how", "expected"), SETTINGS)
def test_settings_become_options(
    make: Make, docker: str, how: dict[str, Any], expected: str
) -> None:
    assert make(cube(docker=docker), **how).run == (tuple(shlex.split(expected)),)


ENTRYPOINTS = [
    ("docker", "/run.sh", "docker run --entrypoint=/run.sh repo/image:1"),
    ("docker", "python3 /a b.py", "docker run --entrypoint=python3 repo/image:1 /a b.py"),
    ("docker", "sh '/a b.sh'", "docker run --entrypoint=sh repo/image:1 '/a b.sh'"),
    ("docker", "'  '", "docker run repo/image:1 go"),
    ("singularity", "sh '/a b.sh'", f"singularity exec {SIF} sh '/a b.sh'"),
    ("singularity", "''", f"singularity run {SIF} go"),
]


@pytest.mark.parametrize(("platform", "entrypoint", "expected"), ENTRYPOINTS)
def test_the_entrypoint_replaces_the_task_name(
    make: Make, platform: str, entrypoint: str, expected: str
) -> None:
    quoted = entrypoint if entrypoint in {"'  '", "''"} else f'"{entrypoint}"'
    text = cube(task=f"entrypoint: {quoted}")
    assert make(text, platform).run == (tuple(shlex.split(expected)),)


CONFIGURES: list[Any] = [
    pytest.param("docker", "", {}, "docker pull i", id="pull is the default"),
    pytest.param("docker", "", {"/c/Dockerfile": FILE}, "docker pull i", id="even with a recipe"),
    pytest.param("docker", "build_strategy: auto", {}, "docker pull i", id="auto without recipe"),
    pytest.param("docker", "build_strategy: always", {}, "docker pull i", id="always without one"),
    pytest.param(
        "docker",
        "build_strategy: auto, build_args: {A: b c}",
        {"/c/Dockerfile": FILE},
        "docker build --build-arg 'A=b c' -t i -f /c/Dockerfile /c",
        id="auto with a recipe",
    ),
    pytest.param(
        "docker",
        "build_strategy: auto, build_context: ../p, build_file: D, build_args: --no-cache",
        {"/p/D": FILE},
        "docker build --no-cache -t i -f /p/D /p",
        id="context and recipe",
    ),
    pytest.param("podman", "", {}, "podman pull i", id="podman"),
    pytest.param(
        "singularity",
        "",
        {},
        "singularity build --fakeroot /c/workspace/.image/i.sif docker://i",
        id="SIF from the docker image",
    ),
    pytest.param(
        "singularity",
        "tar_file: i.tar",
        {},
        "singularity build --fakeroot /c/workspace/.image/i.sif docker-archive:i.tar",
        id="SIF from an image archive",
    ),
    pytest.param(
        "apptainer",
        "",
        {"/c/Singularity.recipe": FILE},
        "apptainer build --fakeroot /c/workspace/.image/Singularityrecipe.sif Singularity.recipe",
        id="SIF from a recipe",
    ),
]


@pytest.mark.parametrize(("platform", "docker", "there", "expected"), CONFIGURES)
def test_configure_pulls_or_builds_the_image(
    make: Make, platform: str, docker: str, there: dict[str, PathKind], expected: str
) -> None:
    made = make(cube(docker=f"image: i, {docker}"), platform, there=there)
    assert made.configure == (tuple(shlex.split(expected)),)
    assert made.cwd == "/c"
    always = "always" in docker
    assert made.before_each_run is always
    assert len(made.run) == (2 if always else 1)


SIF_CASES: list[Any] = [
    pytest.param(
        "singularity: {image: x.sif, build_file: r.def}",
        {"there": {"/c/r.def": FILE}},
        ["singularity build --fakeroot /c/workspace/.image/x.sif r.def"],
        "singularity run /c/workspace/.image/x.sif go",
        id="its own section",
    ),
    pytest.param(
        "singularity: {image: /opt/x.sif}",
        {},
        [],
        "singularity run /opt/x.sif go",
        id="an existing SIF, and no recipe to build it",
    ),
    pytest.param(
        "singularity: {image: x.sif, image_dir: '${runtime.workspace}/i', build_args: '',"
        " build_file: 'library://a/b'}",
        {},
        ["singularity build /c/workspace/i/x.sif library://a/b"],
        "singularity run /c/workspace/i/x.sif go",
        id="image directory and URI",
    ),
    pytest.param(
        "singularity: {image: /x.sif, run_args: -C --cleanenv}",
        {"options": Options(gpus="1", network="none", memory="1g", cpu="0")},
        [],
        "singularity run -C --cleanenv --network=none --nv --vm-ram=1g --vm-cpu=0 /x.sif go",
        id="options of Singularity",
    ),
    pytest.param(
        "singularity: {image: /x.sif, singularity: sudo singularity}",
        {"platform": "apptainer", "options": Options(memory="1g", cpu="0")},
        [],
        "apptainer run --memory=1g --cpuset-cpus=0 /x.sif go",
        id="Apptainer reads Singularity's section, except limits and executable",
    ),
    pytest.param(
        "singularity: {image: /x.sif}\napptainer: {image: /y.sif, --nv: true}",
        {"platform": "apptainer"},
        [],
        "apptainer run --nv /y.sif go",
        id="Apptainer reads its own section last",
    ),
    pytest.param(
        "docker: {image: i, run_args: -C}\nsingularity: {singularity: apptainer}",
        {},
        ["apptainer build --fakeroot /c/workspace/.image/i.sif docker://i"],
        "apptainer run -C /c/workspace/.image/i.sif go",
        id="a section without an image uses the docker image",
    ),
    pytest.param(
        "docker: {image: i, run_args: -C}",
        {"user": {"image": "j", "build_file": "x.def", "run_args": "-c", "image_dir": "/sifs"}},
        ["singularity build --fakeroot /sifs/i.sif docker://i"],
        "singularity run -C /sifs/i.sif go",
        id="a cube's docker section overrides the user's own file",
    ),
    pytest.param(
        "singularity: {singularity: apptainer}",
        {"user": {"image": "j", "build_file": "docker://x"}},
        ["apptainer build --fakeroot /c/workspace/.image/j docker://x"],
        "apptainer run /c/workspace/.image/j go",
        id="a cube without any image uses the user's own",
    ),
]


@pytest.mark.parametrize(("sections", "how", "configure", "run"), SIF_CASES)
def test_sif_platforms_build_and_run(
    make: Make, sections: str, how: dict[str, Any], configure: list[str], run: str
) -> None:
    made = make(f"{sections}\ntasks: {{go: }}", **{"platform": "singularity"} | how)
    assert made.configure == tuple(tuple(shlex.split(command)) for command in configure)
    assert made.run == (tuple(shlex.split(run)),)
    assert made.probe == ("test", "-f", made.image)
    assert made.configure_directories == (made.image.rpartition("/")[0] or "/",)


def test_sif_binds_have_mount_options(make: Make) -> None:
    run = make(cube(inputs("a: {default: /x/, opts: ro}")), "singularity").run[-1]
    assert run[2:4] == ("--bind", "/x:/mlcube_io0:ro")


def test_an_image_is_configured_without_a_task(tmp_path: Path) -> None:
    text = cube(outputs("o: of_unknown_type"), docker="image: i, build_strategy: auto")
    (tmp_path / "mlcube.yaml").write_text(text, encoding="utf-8")
    target = Target(
        platform="docker",
        host_settings={"docker": {"docker": "sudo docker"}},
        layout=Layout(root="/c", workspace="/c/workspace", home="/home/me"),
        kind_of={"/c/Dockerfile": FILE}.get,
    )
    image = build_image(load(tmp_path), target)
    build = ("sudo", "docker", "build", "-t", "i", "-f", "/c/Dockerfile", "/c")
    assert image.configure == (build,)


def test_the_probe_inspects_the_image(make: Make) -> None:
    made = make(cube(docker="image: i, docker: sudo docker"))
    assert made.probe == ("sudo", "docker", "image", "inspect", "--format", "{{.Id}}", "i")
    assert made.engine == ("sudo", "docker")
    assert made.run[-1][made.launch_at - 1] == "run"


def test_missing_directories_are_created_with_their_parents(make: Make) -> None:
    made = make(cube("{inputs: {a: x/y/}, outputs: {o: /out/z/}}"), there={W: DIRECTORY})
    assert made.directories == (W, f"{W}/x/y", "/out/z")
    assert made.creates == (f"{W}/x", f"{W}/x/y", "/out", "/out/z")


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


def test_an_output_in_a_read_only_directory_is_a_warning(make: Make) -> None:
    made = make(
        cube("{inputs: {i: d/}, outputs: {o: {type: file, default: d/f}}}"),
        options=Options(mount="ro"),
    )
    assert "output o is in a directory that is mounted read-only" in made.warnings[0]


def test_a_limit_that_singularity_ignores_is_a_warning(make: Make) -> None:
    made = make(cube(), "singularity", options=Options(memory="1g"))
    (warning,) = made.warnings
    assert warning.startswith("singularity applies --vm-ram only in a virtual machine")


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ("2", {"SINGULARITYENV_CUDA_VISIBLE_DEVICES": "0,1"}),
        ("device=1,3", {"SINGULARITYENV_CUDA_VISIBLE_DEVICES": "1,3"}),
        ("all", {}),
        (None, {}),
    ],
)
def test_singularity_limits_devices_with_a_variable(
    make: Make, gpus: str | None, expected: dict[str, str]
) -> None:
    made = make(cube(), "singularity", options=Options(gpus=gpus))
    assert made.environment == {"SINGULARITY_NO_EVAL": "1", **expected}


def test_sif_engines_do_not_expand_values(make: Make) -> None:
    assert make(cube(), "apptainer").environment == {"APPTAINER_NO_EVAL": "1"}
    assert make(cube(), "podman").environment == {}


def test_an_override_without_effect_is_a_warning(make: Make) -> None:
    made = make(cube(), "podman", overrides=("docker.docker=sudo docker",))
    assert made.warnings == ("-P docker.docker has no effect on podman",)


@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_docker_settings_that_a_sif_image_ignores_are_a_warning(make: Make, platform: str) -> None:
    docker = "image: i, env_args: {A: 1}, gpu_args: --gpus=all, --network: none, build_file: D"
    text = cube(docker=docker)
    (warning,) = make(text, platform).warnings
    assert warning == (
        f"docker.env_args, docker.gpu_args, docker.--network: ignored on {platform}; "
        "use docker.run_args instead"
    )
    assert make(cube(docker="image: i, run_args: --no-home"), platform).warnings == ()
    assert make(text, "podman").warnings == ()
    own = "singularity: {image: x.sif, build_file: 'docker://i'}\n"
    assert make(text + own, platform).warnings == ()
    there = {"/c/Singularity.recipe": PathKind.FILE}
    assert make(text, platform, there=there).warnings == ()


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


MANY = ", ".join(f"V{number}: {'x' * 99_999}" for number in range(16))

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
        cube(docker=f"image: i, env_args: {{{MANY}}}"),
        "docker",
        {},
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


def test_another_workspace_starts_with_the_inputs_of_the_cube(make: Make) -> None:
    text = (
        "docker: {image: i}\ntasks:\n"
        "  go: {parameters: {inputs: {a: in, b: made/, c: '/abs/', d: have/, e: ./, f: gone/}}}\n"
        "  make: {parameters: {outputs: {b: made/}}}\n"
    )
    own = f"{W}/"
    there = {f"{own}{name}": DIRECTORY for name in ("in", "made", "have", "")}
    there |= {"/ws/have": DIRECTORY, "/abs": DIRECTORY, W: DIRECTORY}
    layout = Layout(root="/c", workspace="/ws", home="/home/me")
    made = make(text, layout=layout, there=there, task="go")
    assert made.copies == (Copy(source=f"{W}/in", target="/ws/in", kind=DIRECTORY),)
    assert "/ws/in:/mlcube_io0" in made.run[-1]


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_a_variable_is_one_argument(make: Make, value: str) -> None:
    run = make(cube(), host={"docker": {"env_args": {"NAME": value}}}).run[-1]
    assert run == ("docker", "run", "-e", f"NAME={value}", "repo/image:1", "go")
