# SPDX-License-Identifier: Apache-2.0
"""An option whose value is empty is a variable of the shell that is not set."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.main import cli, run
from mlcube_remote.errors import UsageError


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_refuses_empty_values() -> None:
    others = [path for path, each in commands(cli) if not isinstance(each, HelpfulCommand)]
    assert not others


@pytest.mark.usefixtures("cube_directory")
@pytest.mark.parametrize(
    "option",
    [
        "--memory",
        "--gpus",
        "--cpu",
        "--workspace",
        "--mlcube",
        "--ship-image",
        "--host",
        "--task",
        "--name",
        "--platform",
        "--sweep-file",
        "--shard",
        "--inventory",
        "--where",
        "--events",
        "--junit",
        "--report",
        "--network",
    ],
)
@pytest.mark.parametrize("is_one_word", [True, False])
def test_an_empty_value_is_not_the_default(option: str, is_one_word: bool) -> None:
    words = [f"{option}="] if is_one_word else [option, ""]
    with pytest.raises(UsageError, match=f"{option}: expected a value, and it is empty") as refused:
        run(["run", "--host=a", "--task=t", *words])
    assert refused.value.hint == "set the variable in it, or omit the option"


@pytest.mark.parametrize("option", ["--host", "--task", "--where", "--slurm"])
def test_one_of_several_values_may_not_be_empty(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option}: expected a value, and it is empty"):
        run(["run", f"{option}=a=b", f"{option}="])


def test_an_optional_value_may_be_omitted() -> None:
    with pytest.raises(UsageError, match="no results of a run 'mine'"):
        run(["verify", "mine", "--host"])


@pytest.mark.usefixtures("cube_directory")
def test_a_parameter_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--host=a", "--task=t", "--dry-run", "-Pdocker.gpu_args="]) == 0
    assert "# a (docker)" in capsys.readouterr().out
