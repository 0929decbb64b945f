# SPDX-License-Identifier: Apache-2.0
"""What the launcher adds to a container's command: name, labels, secrets by name, no privileges.

Kept apart from the builder so that a dry run can show both: what MLCube would run, and what
is added so that the container can be found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.commands.sif import environment_name
from mlcube_remote.platforms import CONTAINER_ENGINES

_NO_NEW_PRIVILEGES = "no-new-privileges"
_LOG_DRIVER = "--log-driver"


def launch_options(
    commands: TaskCommands,
    *,
    name: str,
    id_file: str,
    labels: Mapping[str, str],
    secrets: Sequence[str] = (),
) -> Argv:
    """Return the options to insert into the container's command.

    Args:
        commands: What the builder made.
        name: The container's name.
        id_file: Where the engine writes the container's id: what is later stopped or removed is
            that container and no other, whatever its name.
        labels: Its labels.
        secrets: Names of variables whose values are in the launching process's environment.

    Returns:
        Options for Docker and Podman; none for Singularity and Apptainer, which know neither names
        nor labels and take variables by :func:`secret_variable`.
    """
    if commands.platform not in CONTAINER_ENGINES:
        return ()
    options = ["--name", name, "--cidfile", id_file]
    for key, value in labels.items():
        options += ["--label", f"{key}={value}"]
    said = _engine_options(commands)
    if not any(_NO_NEW_PRIVILEGES in word for word in said):
        options += ["--security-opt", _NO_NEW_PRIVILEGES]
    if not any(word.startswith(_LOG_DRIVER) for word in said):
        # The supervisor keeps the log. An engine would keep it a second time, without any limit,
        # and costs a program that writes short lines nearly all of its speed.
        options += [_LOG_DRIVER, "none"]
    for secret in secrets:
        options += ["-e", secret]
    return tuple(options)


def launched(commands: TaskCommands, options: Argv, secrets: Sequence[str] = ()) -> Argv:
    """Return the container's command with the launcher's options inserted.

    An engine behind ``sudo`` sees the secrets only when sudo is told to keep them.
    """
    container = commands.run[-1]
    head, tail = container[: commands.launch_at], container[commands.launch_at :]
    if secrets and head[0] == "sudo":
        head = ("sudo", f"--preserve-env={','.join(secrets)}", *head[1:])
    return (*head, *options, *tail)


def secret_variable(platform: str, engine: Argv, name: str) -> str:
    """Return the variable to set for the launching process so that the task sees ``name``."""
    return name if platform in CONTAINER_ENGINES else environment_name(platform, engine, name)


def _engine_options(commands: TaskCommands) -> Argv:
    """Return the container's words before its image."""
    container = commands.run[-1]
    end = container.index(commands.image) if commands.image in container else len(container)
    return container[commands.launch_at : end]
