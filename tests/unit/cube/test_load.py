# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.cube.load import load, select_tasks, with_arguments
from mlcube_remote.cube.model import IO, Cube, Parameter, ParameterType
from mlcube_remote.errors import CubeError

Write = Callable[[str], Path]

GOOD = """\
name: x
description: an example
platform: {accelerator_count: 2}
docker: {image: i}
tasks:
  one:
    parameters:
      inputs: {data: data/}
      outputs: {log: {type: file, default: log.txt}}
  two:
    entrypoint: sh /two.sh
    parameters:
      inputs: {extra: extra/}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def _write(text: str) -> Path:
        path = tmp_path / "mlcube.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return _write


def parameters(cube: Cube, task: str) -> list[tuple[str, IO, str, ParameterType]]:
    return [(item.name, item.io, item.value, item.type) for item in cube.tasks[task].parameters]


def test_a_cube_is_read_from_its_directory_or_its_file(write: Write, tmp_path: Path) -> None:
    file = write(GOOD)
    cube = load(file)
    assert cube == load(tmp_path) == load()
    assert (cube.name, cube.description, cube.accelerator_count) == ("x", "an example", 2)
    assert (cube.root, cube.file, cube.workspace) == (tmp_path, file, tmp_path / "workspace")
    assert cube.settings == {"docker": {"image": "i"}}
    assert cube.tasks["two"].entrypoint == "sh /two.sh"
    assert parameters(cube, "one") == [
        ("data", IO.INPUT, "data/", ParameterType.DIRECTORY),
        ("log", IO.OUTPUT, "log.txt", ParameterType.FILE),
    ]


def test_the_file_may_have_another_name(write: Write, tmp_path: Path) -> None:
    file = write(GOOD).rename(tmp_path / "gpu.yaml")
    assert load(file).file == file


SHORT_FORMS: list[Any] = [
    ("go:", []),
    ("go: {}", []),
    ("go: {parameters: }", []),
    ("go: {parameters: {inputs: , outputs: {}}}", []),
    ("go: {parameters: {inputs: {a: }}}", [("a", "a", ParameterType.UNKNOWN, None)]),
    ("go: {parameters: {inputs: {a: x}}}", [("a", "x", ParameterType.UNKNOWN, None)]),
    ("go: {parameters: {inputs: {a: x/}}}", [("a", "x/", ParameterType.DIRECTORY, None)]),
    ("go: {parameters: {inputs: {a: {}}}}", [("a", "a", ParameterType.UNKNOWN, None)]),
    ("go: {parameters: {inputs: {a: {type: file}}}}", [("a", "a", ParameterType.FILE, None)]),
    (
        "go: {parameters: {inputs: {a: {default: x/}}}}",
        [("a", "x/", ParameterType.DIRECTORY, None)],
    ),
    (
        "go: {parameters: {inputs: {a: {default: x/, type: file, opts: ro}}}}",
        [("a", "x/", ParameterType.FILE, "ro")],
    ),
    (
        "go: {parameters: {inputs: {a: {type: unknown, default: 2024-01-31}}}}",
        [("a", "2024-01-31", ParameterType.UNKNOWN, None)],
    ),
    ("go: {entrypoint: , description: ignored}", []),
]


@pytest.mark.parametrize(("task", "expected"), SHORT_FORMS)
def test_short_forms(write: Write, task: str, expected: list[Any]) -> None:
    write(f"tasks:\n  {task}\n")
    found = load().tasks["go"]
    assert [(item.name, item.value, item.type, item.opts) for item in found.parameters] == expected
    assert found.entrypoint is None


def test_a_cube_without_a_name_has_the_name_of_its_directory(write: Write, tmp_path: Path) -> None:
    write("tasks: {go: }\n")
    assert load().name == tmp_path.name


def test_a_task_argument_replaces_the_value_and_keeps_the_type(write: Write) -> None:
    write(GOOD)
    cube = load(task_args={"data": "a=b", "log": "/tmp/l"}, tasks=["one"])
    assert cube.tasks["one"].parameters == (
        Parameter(name="data", io=IO.INPUT, value="a=b", type=ParameterType.DIRECTORY, given=True),
        Parameter(name="log", io=IO.OUTPUT, value="/tmp/l", type=ParameterType.FILE, given=True),
    )


def test_a_task_argument_with_a_slash_is_a_directory(write: Write) -> None:
    write("tasks: {go: {parameters: {inputs: {a: x}}}}\n")
    assert load(task_args={"a": "y/"}).tasks["go"].parameters[0].type is ParameterType.DIRECTORY


def test_one_of_the_chosen_tasks_must_know_a_task_argument(write: Write) -> None:
    write(GOOD)
    assert load(task_args={"extra": "e/"}, tasks=["one", "two"])
    assert load(task_args={"extra": "e/"})
    with pytest.raises(CubeError, match="unknown parameter 'extra' of task one"):
        load(task_args={"extra": "e/"}, tasks=["one"])


def test_tasks_are_selected_in_the_given_order(write: Write) -> None:
    write(GOOD)
    cube = load()
    assert [task.name for task in select_tasks(cube, ["two", "one"])] == ["two", "one"]
    with pytest.raises(CubeError, match="expected --task; the cube has several tasks: one, two"):
        select_tasks(cube)
    with pytest.raises(CubeError, match=r"unknown task 'tow' \(did you mean 'two'\?\)"):
        select_tasks(cube, ["tow"])


def test_the_only_task_needs_no_name(write: Write) -> None:
    write("tasks: {go: }\n")
    assert [task.name for task in select_tasks(load())] == ["go"]


def test_the_workspace_may_be_elsewhere(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(GOOD)
    monkeypatch.setenv("HOME", "/home/me")
    assert load(workspace="ws").workspace == tmp_path / "ws"
    assert load(workspace="~/ws/../x").workspace == Path("/home/me/x")


@pytest.mark.parametrize("address", ["s3://bucket/x", "HTTPS://host/x", "file:///x", "storage:x"])
def test_an_address_is_no_path(write: Write, address: str) -> None:
    """As a path, it would be a directory ``s3:`` that no one looks for."""
    write(GOOD)
    for arguments in ({"path": address}, {"workspace": address}, {"task_args": {"data": address}}):
        with pytest.raises(CubeError, match=f"={re.escape(address)}: expected a path"):
            load(**arguments)
    with pytest.raises(CubeError, match=r"data=.*: expected a path, got an address"):
        with_arguments(load(), {"data": address}, ["one"])


@pytest.mark.parametrize(
    "value", ["remote://etc/", "local://x", "local:/x", "a:b", "c:/x", "x/s3://b", "s3:/x"]
)
def test_a_path_may_contain_a_colon(write: Write, value: str) -> None:
    write(GOOD)
    assert load(task_args={"data": value})


def test_other_keys_of_published_cubes_are_ignored(write: Write) -> None:
    write("""\
        name: x
        authors: [{name: A, org: B}]
        version: 1.2
        container: {image: x}
        gcp: {anything: goes}
        platform: {accelerator_count: 0, host_memory_gb: 40, need_internet_access: true}
        docker: {image: i, runner: docker}
        tasks: {go: {description: d, parameters: {inputs: {a: {default: x, description: d}}}}}
        """)
    assert load().settings == {"docker": {"image": "i"}}


WRONG: list[Any] = [
    ("", "mlcube.yaml:1:1: expected a mapping with name, tasks"),
    ("- a\n", "mlcube.yaml:1:1: expected a mapping with name, tasks"),
    ("name: x\n", "mlcube.yaml:1:1: expected at least one task"),
    ("tasks: {}\n", "mlcube.yaml:1:1: tasks: expected at least one task"),
    ("tasks:\n", "mlcube.yaml:1:1: tasks: expected at least one task"),
    ("tasks: [a]\n", "mlcube.yaml:1:1: tasks: expected a mapping, got a list"),
    ("name: x\ntaks: {go: }\n", "mlcube.yaml:2:1: taks: unknown key (did you mean 'tasks'?)"),
    ("dokcer: {}\ntasks: {go: }\n", "mlcube.yaml:1:1: dokcer: unknown key (did you mean 'docker'"),
    ("name: [x]\ntasks: {go: }\n", "mlcube.yaml:1:1: name: expected text, got a list"),
    ("name: 5\ntasks: {go: }\n", "mlcube.yaml:1:1: name: expected text, got 5"),
    ("name: true\ntasks: {go: }\n", "mlcube.yaml:1:1: name: expected text, got true"),
    ("name: {}\ntasks: {go: }\n", "mlcube.yaml:1:1: name: expected text, got a mapping"),
    ("tasks:\n  go:\n\tx: 1\n", "mlcube.yaml:3:1: found a tab"),
    ("tasks: {go: }\ntasks: {}\n", "mlcube.yaml:2:1: duplicate key 'tasks'"),
    ("tasks:\n  yes: {}\n", "mlcube.yaml:1:1: tasks: expected names, got True"),
    ("tasks:\n  -x: {}\n", "mlcube.yaml:2:3: tasks.-x: '-x' cannot be a name"),
    ('tasks:\n  "a\\nb": {}\n', "'a\\nb' cannot be a name"),
    ("tasks: {go: {parameters: {inputs: {a=b: x}}}}\n", "'a=b' cannot be a name"),
    ("tasks: {go: {parameters: []}}\n", "tasks.go.parameters: expected a mapping, got a list"),
    ("podman: {tar_file: x}\ntasks: {go: }\n", "mlcube.yaml:1:10: podman.tar_file: unknown key"),
    ("tasks: {go: {paramters: {}}}\n", "tasks.go.paramters: unknown key (did you mean"),
    ("tasks: {go: {parameters: {input: {}}}}\n", "unknown key (did you mean 'inputs'?)"),
    ("tasks: {go: {parameters: {inputs: {a: 5}}}}\n", "inputs.a: expected a mapping, got 5"),
    ("tasks: {go: {parameters: {inputs: {a: {defualt: x}}}}}\n", "did you mean 'default'?"),
    ("tasks: {go: {parameters: {inputs: {a: {default: 5}}}}}\n", "a.default: expected text, got 5"),
    ("tasks: {go: {parameters: {inputs: {a: {type: dir}}}}}\n", "expected file or directory, got"),
    ("tasks: {go: {parameters: {inputs: {a: {opts: rx}}}}}\n", "a.opts: expected ro or rw, got"),
    ('tasks: {go: {parameters: {inputs: {a: "x\\0"}}}}\n', "contains a NUL character"),
    ("tasks: {go: {entrypoint: 'sh \"x'}}\n", "tasks.go.entrypoint: not a command line"),
    ("tasks: {go: {entrypoint: '-x'}}\n", "tasks.go.entrypoint: expected a program, got '-x'"),
    ("tasks: {go: {entrypoint: [sh]}}\n", "tasks.go.entrypoint: expected text, got a list"),
    (
        "docker:\n  imge: x\ntasks: {go: }\n",
        "mlcube.yaml:2:3: docker.imge: unknown key (did you mean 'image'?)",
    ),
    ("docker: {image: 5}\ntasks: {go: }\n", "docker.image: expected text, got 5"),
    ("docker: {env_args: []}\ntasks: {go: }\n", "docker.env_args: expected a mapping of names"),
    ("docker: []\ntasks: {go: }\n", "docker: expected a mapping, got a list"),
    ("docker: {build_strategy: never}\ntasks: {go: }\n", "expected one of pull, auto, always"),
    ("docker: {zzz: 1}\ntasks: {go: }\n", "docker.zzz: unknown key"),
    ("platform: {accelerator_cout: 1}\ntasks: {go: }\n", "did you mean 'accelerator_count'?"),
    ("platform: {accelerator_count: [1]}\ntasks: {go: }\n", "expected a number, got a list"),
    ("platform: {accelerator_count: yes}\ntasks: {go: }\n", "expected a number, got true"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_each_mistake_is_one_line(write: Write, text: str, message: str) -> None:
    write(text)
    with pytest.raises(CubeError) as refused:
        load()
    assert message in str(refused.value)
    assert str(refused.value).startswith("mlcube.yaml:")
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_missing_file_is_reported(write: Write, tmp_path: Path) -> None:
    with pytest.raises(CubeError, match=r"mlcube\.yaml: no such file"):
        load(tmp_path)
    with pytest.raises(CubeError, match=r"gone\.yaml: no such file"):
        load(tmp_path / "gone.yaml")


def test_a_nul_in_a_task_argument_is_refused(write: Write) -> None:
    write(GOOD)
    with pytest.raises(CubeError, match="data: the value contains a NUL character"):
        load(task_args={"data": "a\0b"})


def test_a_similar_parameter_is_suggested(write: Write) -> None:
    write(GOOD)
    with pytest.raises(CubeError, match=r"'dta' of task one \(did you mean 'data'\?\)") as refused:
        load(task_args={"dta": "x"}, tasks=["one"])
    assert refused.value.hint == "parameters: data, log"


def test_a_cube_keeps_the_positions_of_its_keys(write: Write) -> None:
    write(GOOD)
    cube = load(overrides=["docker.docker=podman"])
    assert cube.where("docker", "image") == "mlcube.yaml:4:10"
    assert cube.where("docker", "docker") == "-P docker.docker"
    assert cube.where("docker", "cpu_args") == "mlcube.yaml:4:1"


def test_a_cube_without_positions_names_its_file(tmp_path: Path) -> None:
    cube = Cube(
        name="x",
        root=tmp_path,
        file=tmp_path / "mlcube.yaml",
        workspace=tmp_path,
        tasks={},
        settings={},
    )
    assert cube.where("docker", "image") == "mlcube.yaml"


def test_a_cube_without_interpolations_is_read_without_omegaconf(write: Write) -> None:
    write(GOOD)
    code = (
        "import sys; from mlcube_remote.cube.load import load; load()\n"
        "print('omegaconf' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
