# SPDX-License-Identifier: Apache-2.0
"""Options that are added to a container's command: name, labels, secrets, a private home.

They are separate from the builder, so that a dry run can show both: the command of MLCube, and the
options that are added to find the container again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.commands.sif import environment_name
from mlcube_remote.commands.sif_home import private_options
from mlcube_remote.platforms import CONTAINER_ENGINES

_SECURITY_OPTION = "--security-opt"
_NO_NEW_PRIVILEGES = "no-new-privileges"
_LOG_DRIVER = "--log-driver"


def launch_options(
    commands: TaskCommands,
    *,
    name: str,
    id_file: str,
    labels: Mapping[str, str],
    private: str = "",
    secrets: Sequence[str] = (),
) -> Argv:
    """Return the options to insert into the container's command.

    Args:
        commands: The task's commands.
        name: The container's name.
        id_file: The file into which the engine writes the container's id. A later stop or removal
            uses the id, because another container may have the name by then.
        labels: The container's labels.
        private: Directory of the host for the task's own home and ``/tmp``.
        secrets: Names of variables; their values are in the environment of the starting process.

    Returns:
        The options. Singularity and Apptainer have neither names nor labels, and read variables by
        :func:`secret_variable`; they get a private home.
    """
    if commands.platform not in CONTAINER_ENGINES:
        return private_options(private, commands.private_home) if commands.private_home else ()
    options = ["--name", name, "--cidfile", id_file]
    for key, value in labels.items():
        options += ["--label", f"{key}={value}"]
    given = _engine_options(commands)
    if not any(_NO_NEW_PRIVILEGES in value for value in _security_options(given)):
        options += [_SECURITY_OPTION, _NO_NEW_PRIVILEGES]
    if not any(word.startswith(_LOG_DRIVER) for word in given):
        # The supervisor writes the log. The engine would write a second one, without a size limit,
        # and slow down a program that writes short lines to a fraction of its speed.
        options += [_LOG_DRIVER, "none"]
    for secret in secrets:
        options += ["-e", secret]
    return tuple(options)


def insert_options(commands: TaskCommands, options: Argv, secrets: Sequence[str] = ()) -> Argv:
    """Return the container's command with more options.

    If the engine runs under ``sudo``, sudo gets an option to keep the secrets in the environment.

    Args:
        commands: The task's commands.
        options: The options, as from :func:`launch_options`.
        secrets: Names of variables, as for :func:`launch_options`.
    """
    container = commands.run[-1]
    head, tail = container[: commands.launch_at], container[commands.launch_at :]
    if secrets and head[0] == "sudo":
        head = ("sudo", f"--preserve-env={','.join(secrets)}", *head[1:])
    return (*head, *options, *tail)


def secret_variable(platform: str, engine: Argv, name: str) -> str:
    """Return the variable of the starting process that the task sees as ``name``."""
    return name if platform in CONTAINER_ENGINES else environment_name(platform, engine, name)


def _security_options(options: Argv) -> Iterator[str]:
    """Yield the values of ``--security-opt``; other values, such as a path, may look like one."""
    for before, word in zip(("", *options), options, strict=False):
        if word.startswith(f"{_SECURITY_OPTION}="):
            yield word.removeprefix(f"{_SECURITY_OPTION}=")
        elif before == _SECURITY_OPTION:
            yield word


def _engine_options(commands: TaskCommands) -> Argv:
    """Return the options in the container's command before the image."""
    container = commands.run[-1]
    end = container.index(commands.image) if commands.image in container else len(container)
    return container[commands.launch_at : end]
