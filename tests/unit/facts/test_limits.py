# SPDX-License-Identifier: Apache-2.0
"""Limits that Docker would drop without a message."""

from __future__ import annotations

import pytest

from mlcube_remote.commands.model import Options, TaskCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.facts.limits import dropped_limit_warning
from mlcube_remote.transport.base import Reply
from mlcube_remote.transport.fake import FakeConnection


def commands(*options: str, platform: str = "docker") -> TaskCommands:
    return TaskCommands(
        platform=platform,
        image="image",
        engine=(platform,),
        probe=(),
        cwd="/",
        configure=(),
        run=((platform, "run", *options, "image", "train", "--memory=of-the-task"),),
        launch_at=2,
        directories=(),
        creates=(),
    )


def warning(answer: str, *tasks: TaskCommands, options: Options | None = None) -> str | None:
    host = FakeConnection("gpu")
    host.answer("mlcr_print_engine_info", Reply(0, answer.encode(), b""))
    return dropped_limit_warning(host, tasks, options or Options())


@pytest.mark.parametrize(
    ("answer", "options", "dropped"),
    [
        ("MemoryLimit=false", ["--memory=1g"], "--memory=1g"),
        ("MemoryLimit=false", ["-m=1g", "--rm"], "-m=1g"),
        (
            "MemoryLimit=false CPUSet=false",
            ["--memory=1g", "--cpuset-cpus=0"],
            "--memory=1g, --cpuset-cpus=0",
        ),
        ("MemoryLimit=true CPUSet=false", ["--memory=1g", "--cpuset-cpus=0"], "--cpuset-cpus=0"),
        ("CPUCfsQuota=false", ["--cpus=2"], "--cpus=2"),
        ("MemoryLimit=true", ["--memory=1g"], None),
        ("", ["--memory=1g"], None),
    ],
)
def test_a_limit_that_the_engine_drops(
    answer: str, options: list[str], dropped: str | None
) -> None:
    found = warning(answer, commands(*options))
    assert (found or "").partition(" cannot be applied: docker")[0] == (dropped or "")


def test_an_option_of_the_command_line_is_an_error() -> None:
    with pytest.raises(HostUnfitError, match="gpu: --memory=1g cannot be applied: docker"):
        warning("MemoryLimit=false", commands("--memory=1g"), options=Options(memory="1g"))


@pytest.mark.parametrize("task", [commands(), commands("--memory=1g", platform="apptainer")])
def test_without_a_limit_the_host_is_not_asked(task: TaskCommands) -> None:
    host = FakeConnection("gpu")
    assert dropped_limit_warning(host, [task], Options()) is None
