# SPDX-License-Identifier: Apache-2.0
"""Giving what a container wrote to the user who ran it.

A container that runs as root leaves files that its user can neither read nor delete. Its command is
left as MLCube has it; afterwards a short container of the same image changes the owner.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlcube_remote.commands.model import Argv, TaskCommands
from mlcube_remote.cube.host_paths import holds
from mlcube_remote.platforms import CONTAINER_ENGINES

_CONFINED = (
    *("--rm", "--network=none", "--read-only", "--user=0:0"),
    *("--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE"),
    *("--security-opt=no-new-privileges", "--entrypoint=chown"),
)


def owning(commands: TaskCommands, *, root: str, uid: str, labels: Mapping[str, str]) -> Argv:
    """Return what ``mlcr_own`` is told once the task has ended.

    Args:
        commands: The task's.
        root: Directory on the host that is ours alone; the user's other directories, which a task
            may have mounted too, are not changed.
        uid: The user's number on the host.
        labels: The container's labels.

    Returns:
        ``root``, ``uid``, the number of directories, each with its place in the container, and the
        command but for its last words, the owner and the places; nothing where the task wrote
        nowhere.
    """
    ours = [item for item in commands.writable if holds(root, item.source)]
    if not ours or commands.platform not in CONTAINER_ENGINES:
        return ()
    # A daemon that maps root to a user of no rights would have no right to change the owner.
    mapping = ("--userns=host",) if commands.platform == "docker" else ()
    return (
        root,
        uid,
        str(len(ours)),
        *(word for item in ours for word in (item.source, item.target)),
        *commands.engine,
        "run",
        *_CONFINED,
        *mapping,
        *(f"--label={key}={value}" for key, value in labels.items()),
        *(word for item in ours for word in item.words),
        commands.image,
        *("-h", "-R"),
    )
