# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from mlcube_remote.commands.launch_options import insert_options, launch_options, secret_variable
from mlcube_remote.commands.model import TaskCommands
from tests.support.task_commands import LAYOUT

Make = Callable[..., TaskCommands]

CUBE = "docker: {image: i}\ntasks: {go: }\n"


def test_a_container_gets_a_name_labels_and_no_new_privileges(make: Make) -> None:
    made = make(CUBE)
    options = launch_options(
        made, name="n", id_file="/j/id", labels={"a.b": "c d"}, secrets=["TOKEN"]
    )
    assert options == (
        *("--name", "n", "--cidfile", "/j/id", "--label", "a.b=c d"),
        *("--security-opt", "no-new-privileges", "--log-driver", "none", "-e", "TOKEN"),
    )
    assert insert_options(made, options, ["TOKEN"]) == ("docker", "run", *options, "i", "go")


@pytest.mark.parametrize("value", ["no-new-privileges", "no-new-privileges:false"])
def test_the_users_setting_for_privileges_is_kept(make: Make, value: str) -> None:
    made = make(CUBE, host={"docker": {"--security-opt": value}})
    assert launch_options(made, name="n", id_file="/j/id", labels={}) == (
        *("--name", "n", "--cidfile", "/j/id", "--log-driver", "none"),
    )


@pytest.mark.parametrize("option", ["--log-driver local", "--log-driver=local"])
def test_the_users_setting_for_the_engines_log_is_kept(make: Make, option: str) -> None:
    made = make(CUBE, host={"docker": {"cpu_args": option}})
    options = launch_options(made, name="n", id_file="/j/id", labels={})
    assert options == ("--name", "n", "--cidfile", "/j/id", "--security-opt", "no-new-privileges")


def test_arguments_of_the_task_are_not_options(make: Make) -> None:
    text = (
        "docker: {image: i}\n"
        "tasks: {go: {parameters: {inputs: {no-new-privileges: {type: file, default: x}}}}}\n"
    )
    assert "--security-opt" in launch_options(make(text), name="n", id_file="/j/id", labels={})


@pytest.mark.parametrize(
    "text",
    [
        "docker: {image: i, env_args: {MODE: no-new-privileges}}\ntasks: {go: }\n",
        "docker: {image: i, env_args: {no-new-privileges: x}}\ntasks: {go: }\n",
        "docker: {image: i}\ntasks: {go: {parameters: {outputs: {out: no-new-privileges/}}}}\n",
    ],
)
def test_a_variable_or_a_path_does_not_withdraw_the_protection(make: Make, text: str) -> None:
    options = launch_options(make(text), name="n", id_file="/j/id", labels={})
    assert "--security-opt" in options


def test_sudo_gets_an_option_to_keep_secrets(make: Make) -> None:
    made = make(CUBE, host={"docker": {"docker": "sudo docker"}})
    options = launch_options(made, name="n", id_file="/j/id", labels={}, secrets=["A", "B"])
    assert insert_options(made, options, ["A", "B"])[:3] == ("sudo", "--preserve-env=A,B", "docker")
    assert insert_options(made, ())[:3] == ("sudo", "docker", "run")


def private_options_of(made: TaskCommands, private: str = "/j/private/1") -> tuple[str, ...]:
    names = {"name": "n", "id_file": "/j/id"}
    return launch_options(made, **names, labels={"a": "b"}, private=private, secrets=["A"])


@pytest.mark.parametrize("platform", ["singularity", "apptainer"])
def test_sif_platforms_get_a_private_home(make: Make, platform: str) -> None:
    made = make(CUBE, platform)
    assert private_options_of(made) == (
        *("--pid", "--no-home"),
        *("--bind", "/j/private/1/tmp:/tmp", "--bind", "/j/private/1/tmp:/var/tmp"),
        *("--bind", "/j/private/1/home:/home/me", "--pwd", "/home/me"),
    )
    argv = insert_options(made, private_options_of(made))
    assert argv[:3] == (platform, "run", "--pid"), "settings come later, and so override it"


def test_the_home_of_root_is_private_too(make: Make) -> None:
    for run_args in ("--fakeroot", "-f"):
        made = make(CUBE, "apptainer", host={"apptainer": {"run_args": run_args}})
        assert private_options_of(made)[-3:] == ("/j/private/1/home:/root", "--pwd", "/root")


def test_the_root_directory_is_not_replaced_by_a_home(make: Make) -> None:
    made = make(CUBE, "apptainer", layout=attrs.evolve(LAYOUT, home="/"))
    options = private_options_of(made)
    assert "/j/private/1/home:/tmp" in options
    assert not any(option.endswith(":/") for option in options)


def test_a_home_whose_path_has_a_colon_is_mounted(make: Make) -> None:
    options = private_options_of(make(CUBE, "apptainer"), "/a:b,c/1")
    assert 'type=bind,"source=/a:b,c/1/home",destination=/home/me' in options


def test_a_host_can_show_its_own_home(make: Make) -> None:
    open_host = {"singularity": {"private_home": False}}
    made = make(CUBE, "apptainer", host=open_host)
    assert private_options_of(made) == ()
    assert "APPTAINER_NO_MOUNT" not in made.environment, "the /tmp of the user, too"
    assert insert_options(made, (), ["A"]) == made.run[-1]


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
def test_secrets_are_passed_in_the_environment(platform: str, engine: str, variable: str) -> None:
    assert secret_variable(platform, tuple(engine.split()), "A") == variable
