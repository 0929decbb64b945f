# SPDX-License-Identifier: Apache-2.0
"""Keys without an effect, misplaced keys, and formats that MLCube no longer reads."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from mlcube_remote.commands.model import TaskCommands
from mlcube_remote.cube.load import load
from mlcube_remote.errors import CubeError
from tests.support.task_commands import build_from_text

PUBLISHED = """
name: x
description: d
author: Ada
authors: [{name: A, org: B}]
version: 1.2
gcp: {anything: goes}
platform:
  accelerator_count: 0
  accelerator_maker: NVIDIA
  accelerator_model: A100-80GB
  host_memory_gb: 40
  need_internet_access: true
  host_disk_space_gb: 100
docker: {image: "i:${tag}", runner: docker}
tag: 1
names: {alice: names/alice.txt}
tasks:
  go:
    description: d
    parameters: {inputs: {a: {default: "${names.alice}", description: d}}}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "mlcube.yaml").write_text(textwrap.dedent(text))
    return folder


def refused(folder: Path, text: str) -> CubeError:
    with pytest.raises(CubeError) as caught:
        load(write(folder, text))
    return caught.value


def test_notes_and_variables_of_published_cubes_cause_no_warning(tmp_path: Path) -> None:
    assert load(write(tmp_path, PUBLISHED)).warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("{extra: 1, tasks: {go: }}", "extra: unknown key: it has no effect"),
        (
            "{container: {image: x}, tasks: {go: }}",
            "container: unknown key (did you mean 'docker'?): it has no effect",
        ),
        ("{platform: {cores: 4}, tasks: {go: }}", "platform.cores: unknown key: it has no effect"),
        ("{tasks: {go: {retries: 2}}}", "tasks.go.retries: unknown key: it has no effect"),
        (
            "{tasks: {go: {parameters: {data: {a: x}}}}}",
            "tasks.go.parameters.data: unknown key: expected inputs or outputs",
        ),
        (
            "{tasks: {go: {parameters: {inputs: {a: {kind: file}}}}}}",
            "tasks.go.parameters.inputs.a.kind: unknown key: it has no effect",
        ),
        (
            "{tasks: {go: {parameters: {inputs: {a: {kinds: file, option: ro}}}}}}",
            "inputs.a.option: unknown key (did you mean 'opts'?): it has no effect",
        ),
        (
            "{tasks: {go: {parameters: {outputs: {a: $WORKSPACE/a/}}}}}",
            "$WORKSPACE is the name of a directory; paths are relative to the workspace",
        ),
    ],
)
def test_a_key_without_an_effect_causes_a_warning(tmp_path: Path, text: str, warning: str) -> None:
    found = load(write(tmp_path, text)).warnings
    assert any(each.endswith(warning) for each in found), found
    assert all(each.startswith(f"{tmp_path}/mlcube.yaml:1:") for each in found)


def test_the_number_of_warnings_is_limited(tmp_path: Path) -> None:
    keys = "".join(f"extra{number}: 1\n" for number in range(100))
    folder = write(tmp_path, f"{keys}tasks: {{go: }}\n")
    assert len(load(folder).warnings) == 20


def test_a_relative_interpolation_uses_a_key(tmp_path: Path) -> None:
    text = "{tasks: {go: {base: data, parameters: {inputs: {a: '${...base}/x'}}}}}"
    cube = load(write(tmp_path, text))
    assert cube.tasks["go"].parameters[0].value == "data/x"
    assert cube.warnings == ()


def test_an_override_without_an_effect_causes_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path, "{docker: {image: i}, tasks: {go: }}")
    assert load(folder, overrides=["speed.limit=4"]).warnings == (
        "-P speed.limit: speed: unknown key: it has no effect",
    )
    assert load(folder, overrides=["tag=4", "docker.image=i:${tag}"]).warnings == ()


def test_the_warnings_reach_the_user(tmp_path: Path) -> None:
    built = build_from_text(tmp_path, "{docker: {image: i}, extra: 1, tasks: {go: }}")
    assert any("extra: unknown key" in warning for warning in built.warnings)


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("docker", "docker.run_args has no effect on docker: write cpu_args, and gpu_args"),
        ("podman", "docker.run_args has no effect on podman: write cpu_args, and gpu_args"),
    ],
)
def test_run_args_that_an_engine_does_not_read(
    tmp_path: Path, platform: str, expected: str
) -> None:
    text = "{docker: {image: i, run_args: --shm-size=1g, tar_file: x}, tasks: {go: }}"
    assert _warns(build_from_text(tmp_path, text, platform), expected)
    assert not any("tar_file" in each for each in build_from_text(tmp_path, text).warnings)
    host = {"docker": {"run_args": "--rm"}}
    plain = "{docker: {image: i}, tasks: {go: }}"
    of_host = build_from_text(tmp_path, plain, platform, host=host)
    assert _warns(of_host, f"the host's docker.run_args has no effect on {platform}")
    given = build_from_text(tmp_path, plain, platform, overrides=("docker.run_args=--rm",))
    assert _warns(given, f"-P docker.run_args has no effect on {platform}")
    assert sum("run_args" in each for each in given.warnings) == 1


def _warns(built: TaskCommands, text: str) -> bool:
    return any(text in warning for warning in built.warnings)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "tasks: {parameters: {inputs: {a: x}}}",
            "tasks.parameters: expected the name of a task",
            "write a name above it: tasks: {NAME: {parameters: …}}",
        ),
        (
            "tasks: {entrypoint: python x.py, parameters: {}}",
            "tasks.entrypoint: expected the name of a task",
            "write a name above it: tasks: {NAME: {entrypoint: …}}",
        ),
        (
            "tasks: {inputs: {a: x}}",
            "tasks.inputs: expected the name of a task",
            "write a name above it: tasks: {NAME: {inputs: …}}",
        ),
        (
            "tasks: {go: {inputs: {a: x}}}",
            "tasks.go.inputs: expected it in `parameters`",
            "parameters: {inputs: …}",
        ),
        (
            "tasks: {go: {entrypoint: [python, /a b.py]}}",
            "tasks.go.entrypoint: expected text, got a list",
            "write one text: python '/a b.py'",
        ),
        ("tasks: {go: {entrypoint: {a: b}}}", "entrypoint: expected text, got a mapping", None),
    ],
)
def test_a_misplaced_value_says_what_to_write(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    error = refused(tmp_path, text)
    assert message in str(error)
    assert error.hint == hint


def test_a_task_may_be_called_like_a_key(tmp_path: Path) -> None:
    text = (
        "tasks: {parameters: {entrypoint: sh}, inputs: {parameters: {inputs: {a: x}}}, outputs: }"
    )
    assert set(load(write(tmp_path, text)).tasks) == {"parameters", "inputs", "outputs"}


@pytest.mark.parametrize(
    "text",
    [
        "{schema_type: mlcube_root, schema_version: 1.0.0, tasks: [tasks/a.yaml, tasks/b.yaml]}",
        "{schema_type: mlbox_root, tasks: [tasks/a.yaml]}",
        "{name: x, tasks: [tasks/download.yaml]}",
    ],
)
def test_a_cube_of_2020_is_called_so(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)
    assert "this is the format of 2020, with a file for each task" in str(error)
    assert error.hint is not None
    assert "docker: {image: NAME}" in error.hint


OF_2021 = """
name: hello_world
container: {image: example/hello_world:0.0.1, build_context: hello_world}
tasks:
  hello:
    io:
      - {name: name, type: file, io: input, default: $WORKSPACE/names/alice.txt}
      - {name: chat, type: file, io: output, default: $WORKSPACE/chats/alice.txt}
      - {name: log_dir, type: directory, io: output, default: $WORKSPACE}
"""


def test_a_cube_of_2021_says_what_to_write(tmp_path: Path) -> None:
    error = refused(tmp_path, OF_2021)
    assert "mlcube.yaml:6:5: tasks.hello.io: this is the format of 2021" in str(error)
    assert error.hint is not None
    assert "docker: instead of container:" in error.hint
    # What the hint says is a cube.
    written = error.hint.partition("parameters: ")[2].removesuffix(" instead of io:")
    task = {"hello": {"parameters": yaml.safe_load(written)}}
    cube = load(write(tmp_path, yaml.safe_dump({"docker": {"image": "i"}, "tasks": task})))
    values = {each.name: (each.io.value, each.value) for each in cube.tasks["hello"].parameters}
    assert values == {
        "name": ("input", "names/alice.txt"),
        "chat": ("output", "chats/alice.txt"),
        "log_dir": ("output", "./"),
    }


def test_a_directory_of_2020_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "mlbox.yaml").write_text("schema_type: mlbox_root\n")
    with pytest.raises(CubeError) as caught:
        load(tmp_path)
    assert caught.value.hint == "mlbox.yaml is the format of 2020; write an mlcube.yaml instead"
