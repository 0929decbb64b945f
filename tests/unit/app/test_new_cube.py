# SPDX-License-Identifier: Apache-2.0
"""``init`` writes cubes that are read, and changes no file that exists."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mlcube_remote.app.new_cube import create_cube
from mlcube_remote.cli.main import run
from mlcube_remote.cube.load import load
from mlcube_remote.errors import UsageError


def test_a_cube_from_nothing_is_read_without_a_warning(tmp_path: Path) -> None:
    made = create_cube(tmp_path / "My cube")
    cube = load(str(made.directory))
    assert (cube.name, list(cube.tasks), made.task) == ("my_cube", ["greet"], "greet")
    assert cube.warnings == ()
    assert all((made.directory / file).is_file() for file in made.files)
    first = (made.directory / "mlcube.yaml").read_text().splitlines()[0]
    schema = made.directory / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(schema.read_text())["title"] == "mlcube.yaml"


def test_its_program_takes_the_arguments_that_mlcube_gives(tmp_path: Path) -> None:
    made = create_cube(tmp_path / "cube")
    workspace, program = made.directory / "workspace", made.directory / "project/main.sh"
    words = [f"--name={workspace}/name.txt", f"--greeting={workspace}/greeting.txt"]
    done = subprocess.run(
        ["sh", program, "greet", *words], capture_output=True, text=True, check=True
    )
    assert done.stdout == (workspace / "greeting.txt").read_text() == "Hello, Ada!\n"
    for wrong in (["other", *words], ["greet", "--x=1"]):
        refused = subprocess.run(["sh", program, *wrong], capture_output=True, check=False)
        assert refused.returncode == 2
        assert refused.stderr.startswith(b"unknown ")


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("train.py", ["FROM python:3.12-slim", 'ENTRYPOINT ["python", "/opt/cube/train.py"]']),
        (
            "src/go.sh",
            ["FROM debian:bookworm-slim", 'ENTRYPOINT ["/bin/sh", "/opt/cube/src/go.sh"]'],
        ),
    ],
)
def test_a_script_becomes_a_task(tmp_path: Path, script: str, lines: list[str]) -> None:
    (tmp_path / script).parent.mkdir(exist_ok=True)
    (tmp_path / script).write_text("")
    made = create_cube(tmp_path, script=tmp_path / script)
    recipe = (tmp_path / "Dockerfile").read_text().splitlines()
    assert [recipe[0], recipe[-1]] == lines
    cube = load(str(tmp_path))
    assert list(cube.tasks) == [Path(script).stem] == [made.task]
    assert cube.warnings == ()


def test_the_requirements_of_a_script_are_installed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    create_cube(tmp_path, script=tmp_path / "train.py")
    assert "pip install" in (tmp_path / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["Dockerfile", "docker/gpu.Dockerfile"])
def test_a_dockerfile_makes_the_image(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("FROM x\n")
    create_cube(tmp_path, dockerfile=tmp_path / name)
    settings = load(str(tmp_path)).settings["docker"]
    folder, file = settings["build_context"], settings["build_file"]
    assert (tmp_path / folder / file).read_text() == "FROM x\n"
    assert (tmp_path / name).read_text() == "FROM x\n"


def test_a_file_that_exists_is_never_changed(tmp_path: Path) -> None:
    (tmp_path / "mlcube.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"mlcube.yaml exists already"):
        create_cube(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mlcube.yaml"]
    assert (tmp_path / "mlcube.yaml").read_text() == "mine"


def test_the_users_dockerignore_stays(tmp_path: Path) -> None:
    (tmp_path / "go.sh").write_text("")
    (tmp_path / ".dockerignore").write_text("mine")
    create_cube(tmp_path, script=tmp_path / "go.sh")
    assert (tmp_path / ".dockerignore").read_text() == "mine"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("trian.py", r"no such file \(did you mean 'train.py'\?\)"),
        ("notes.txt", "expected a file that ends with .py or .sh"),
        ("../outside.py", "not in the cube's directory"),
        ("a b.py", "expected a path of letters"),
    ],
)
def test_a_script_that_cannot_be_used_is_refused(tmp_path: Path, script: str, problem: str) -> None:
    cube = tmp_path / "cube"
    cube.mkdir()
    for name in ("train.py", "notes.txt", "../outside.py", "a b.py"):
        (cube / name).write_text("")
    with pytest.raises(UsageError, match=problem):
        create_cube(cube, script=cube / script)
    assert not (cube / "mlcube.yaml").exists()


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(["init", "first"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wrote first/mlcube.yaml"
    assert lines[-2].endswith("mlcube-remote run --host=NAME --mlcube=first --task=greet")
    assert lines[-1].endswith("mlcube-remote configure --host=NAME --mlcube=first")
    run(["describe", "--mlcube=first"])
    assert "task greet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mlcube", "hosts"])
def test_a_schema_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["schema", name])
    assert json.loads(capsys.readouterr().out)["title"].startswith(f"{name}.yaml")
