# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import pytest

from mlcube_remote.commands.launch_options import launch_options, launched, secret_variable
from mlcube_remote.commands.model import TaskCommands

Make = Callable[..., TaskCommands]

CUBE = "docker: {image: i}\ntasks: {go: }\n"


def test_container_is_named_labelled_and_gains_no_privileges(make: Make) -> None:
    made = make(CUBE)
    options = launch_options(
        made, name="n", id_file="/j/id", labels={"a.b": "c d"}, secrets=["TOKEN"]
    )
    assert options == (
        *("--name", "n", "--cidfile", "/j/id", "--label", "a.b=c d"),
        *("--security-opt", "no-new-privileges", "--log-driver", "none", "-e", "TOKEN"),
    )
    assert launched(made, options, ["TOKEN"]) == ("docker", "run", *options, "i", "go")


@pytest.mark.parametrize("value", ["no-new-privileges", "no-new-privileges:false"])
def test_what_the_user_says_about_privileges_stands(make: Make, value: str) -> None:
    made = make(CUBE, host={"docker": {"--security-opt": value}})
    assert launch_options(made, name="n", id_file="/j/id", labels={}) == (
        *("--name", "n", "--cidfile", "/j/id", "--log-driver", "none"),
    )


@pytest.mark.parametrize("said", ["--log-driver local", "--log-driver=local"])
def test_what_the_user_says_about_the_engines_log_stands(make: Make, said: str) -> None:
    made = make(CUBE, host={"docker": {"cpu_args": said}})
    options = launch_options(made, name="n", id_file="/j/id", labels={})
    assert options == ("--name", "n", "--cidfile", "/j/id", "--security-opt", "no-new-privileges")


def test_arguments_of_the_task_are_not_taken_for_options(make: Make) -> None:
    text = (
        "docker: {image: i}\n"
        "tasks: {go: {parameters: {inputs: {no-new-privileges: {type: file, default: x}}}}}\n"
    )
    assert "--security-opt" in launch_options(make(text), name="n", id_file="/j/id", labels={})


def test_sudo_is_told_to_keep_secrets(make: Make) -> None:
    made = make(CUBE, host={"docker": {"docker": "sudo docker"}})
    options = launch_options(made, name="n", id_file="/j/id", labels={}, secrets=["A", "B"])
    assert launched(made, options, ["A", "B"])[:3] == ("sudo", "--preserve-env=A,B", "docker")
    assert launched(made, ())[:3] == ("sudo", "docker", "run")


def test_sif_platforms_take_no_launch_options(make: Make) -> None:
    made = make(CUBE, "singularity")
    assert launch_options(made, name="n", id_file="/j/id", labels={"a": "b"}, secrets=["A"]) == ()
    assert launched(made, (), ["A"]) == made.run[-1]


@pytest.mark.parametrize(
    ("platform", "engine", "variable"),
    [
        ("docker", "docker", "A"),
        ("podman", "sudo podman", "A"),
        ("singularity", "singularity", "SINGULARITYENV_A"),
        ("singularity", "/opt/apptainer/bin/apptainer", "APPTAINERENV_A"),
        ("apptainer", "apptainer", "APPTAINERENV_A"),
        ("apptainer", "/opt/wrapper", "APPTAINERENV_A"),
    ],
)
def test_secrets_travel_in_the_environment(platform: str, engine: str, variable: str) -> None:
    assert secret_variable(platform, tuple(engine.split()), "A") == variable
