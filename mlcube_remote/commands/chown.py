# SPDX-License-Identifier: Apache-2.0
"""Change the owner of a task's outputs to the user who runs it.

A container that runs as root leaves files that the user can neither read nor delete. The task's own
command stays as in MLCube; a second container of the same image changes the owner afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.cube.host_paths import contains
from mlcube_remote.platforms import CONTAINER_ENGINES

_CONFINED = (
    *("--rm", "--network=none", "--read-only", "--user=0:0"),
    *("--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"),
    *("--security-opt=no-new-privileges", "--entrypoint=chown"),
)


def chown_arguments(
    commands: TaskCommands, *, root: str, uid: str, labels: Mapping[str, str]
) -> Argv:
    """Return the arguments of the shell function that changes owners after the task.

    Args:
        commands: The task's commands.
        root: mlcube-remote's directory on the host. The user's other directories, which a task
            may also mount, are not changed.
        uid: The user's numeric id on the host.
        labels: The container's labels.

    Returns:
        ``root``, ``uid``, the number of directories, each directory with its path in the container,
        and the start of the command; the shell function appends the owner and the paths. Empty if
        there is nothing to change.
    """
    directories = [item for item in commands.writable if contains(root, item.source)]
    if not directories or commands.platform not in CONTAINER_ENGINES:
        return ()
    # A daemon that maps root to an unprivileged user could not change the owner.
    mapping = ("--userns=host",) if commands.platform == "docker" else ()
    return (
        root,
        uid,
        str(len(directories)),
        *(word for item in directories for word in (item.source, item.target)),
        *commands.engine,
        "run",
        *_CONFINED,
        *mapping,
        *(f"--label={key}={value}" for key, value in labels.items()),
        *(word for item in directories for word in item.words),
        commands.image,
        *("-h", "-R"),
    )
