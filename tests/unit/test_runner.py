# SPDX-License-Identifier: Apache-2.0
"""The runner for ``mlcube``: its options as a command of mlcube-remote.

tests/integration/test_mlcube_cli.py runs the real ``mlcube``.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

import mlcube_remote


class Runner:
    """Stand-in for the class of the same name in mlcube."""

    def __init__(self, mlcube: Any, task: str | None) -> None:
        self.mlcube, self.task = mlcube, task


class ConfigurationError(Exception):
    """Stand-in for the class of the same name in mlcube."""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the module with stand-ins for mlcube."""
    stand_ins: dict[str, dict[str, Any]] = {
        "mlcube": {},
        "mlcube.errors": {"ConfigurationError": ConfigurationError},
        "mlcube.runner": {"Runner": Runner, "RunnerConfig": type("RunnerConfig", (), {})},
    }
    for name, content in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "mlcube_remote.runner", raising=False)
    yield importlib.import_module("mlcube_remote.runner")
    sys.modules.pop("mlcube_remote.runner", None)


def commands_of(
    runner: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    *typed: str,
    tasks: tuple[str, ...] = ("one",),
    code: int = 0,
    **params: Any,
) -> list[list[str]]:
    """Return the mlcube-remote commands that a command of mlcube runs."""
    seen: list[list[str]] = []

    def execute(arguments: list[str]) -> int:
        seen.append(list(arguments))
        return code

    monkeypatch.setattr(runner, "execute", execute)
    overrides = [text.removeprefix("-Prunner.") for text in typed if text.startswith("-Prunner.")]
    settings = {"host": None, **dict(text.split("=") for text in overrides)}
    with click.Context(click.Command(command)) as context:
        context.params = {"platform": "remote", **params}
        context.args = list(typed)
        for task in tasks:
            chosen = mlcube_remote.get_runner_class()(SimpleNamespace(runner=settings), task)
            getattr(chosen, command)()
    return seen


def test_options_and_arguments_are_passed(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    params: dict[str, Any] = {
        "mlcube": "/c",
        "gpus": "2",
        "memory": None,
        "cpu": "",
        "p": ("docker.image=x",),
    }
    (command,) = commands_of(
        runner, monkeypatch, "run", "--host=gpu01", "a=b=c", "-Pname=x", task="one", **params
    )
    assert command[:2] == ["run", "--task=one"]
    assert command[2:] == [
        "--mlcube=/c",
        "--gpus=2",
        "--cpu=",
        "--platform=remote",
        "-Pdocker.image=x",
        "--host=gpu01",
        "a=b=c",
        "-Pname=x",
    ]


def test_the_host_can_be_overridden(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ("-Prunner.host=gpu02", "-Prunner.platform=podman", "-Prunner.gpu_args=--x")
    (command,) = commands_of(runner, monkeypatch, "configure", *typed)
    assert command == ["configure", "--host=gpu02", "--platform=podman", "-Prunner.gpu_args=--x"]


def test_several_tasks_are_one_run(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = commands_of(runner, monkeypatch, "run", tasks=("one", "two"), task="one,two")
    assert seen == [["run", "--task=one,two", "--platform=remote"]]


def test_a_single_task_needs_no_name(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands_of(runner, monkeypatch, "run", task=None) == [
        ["run", "--task=one", "--platform=remote"]
    ]


def test_the_exit_code_is_that_of_mlcube_remote(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(click.exceptions.Exit) as left:
        commands_of(runner, monkeypatch, "configure", code=122)
    assert left.value.exit_code == 122


def test_the_runner_needs_a_command_of_mlcube(runner: Any) -> None:
    chosen = runner.RemoteRunner(SimpleNamespace(runner={}), "one")
    with pytest.raises(ConfigurationError, match="the command `mlcube run` only"):
        chosen.run()


def test_importing_the_package_imports_nothing_else() -> None:
    script = (
        "import sys; before = set(sys.modules); import mlcube_remote\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "mlcube_remote" in done.stdout
    assert not {"click", "yaml", "omegaconf", "attr", "paramiko", "mlcube"} & {*done.stdout.split()}
