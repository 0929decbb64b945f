# SPDX-License-Identifier: Apache-2.0
"""What the program of the platform ``docker`` is: some hosts have Podman behind this name."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from mlcube_remote.commands.model import Argv, ImageCommands, TaskCommands
from mlcube_remote.facts.probe import HostFacts
from mlcube_remote.transport.base import Connection

_of_podman = re.compile(r"(?:podman|docker) version \d").match
"""What Podman prints, under its own name and as ``docker``. Docker prints ``Docker version``."""

_DIFFERENT = ("--gpus", "--device")
"""Options whose values the two programs understand differently."""


def with_engine_kind(
    connection: Connection, facts: HostFacts, image: ImageCommands, tasks: Iterable[TaskCommands]
) -> HostFacts:
    """Add whether the program of the platform ``docker`` is Podman, if a job depends on it.

    Raises:
        HostError: The connection is lost.
    """
    if image.platform != "docker":
        return facts
    if facts.logout != "manager" and not any(_depends_on_kind(task) for task in tasks):
        return facts
    return attrs.evolve(facts, docker_is_podman=is_podman(connection, image.engine))


def _depends_on_kind(task: TaskCommands) -> bool:
    argv = task.run[-1]
    options = argv[task.launch_at : argv.index(task.image)]
    return any(word.partition("=")[0] in _DIFFERENT for word in options)


def is_podman(connection: Connection, engine: Argv) -> bool:
    """Ask the program of the platform ``docker`` whether it is Podman.

    Raises:
        HostError: The connection is lost.
    """
    # A program that does not answer is reported when it is used.
    reply = connection.call("mlcr_print_client_version", *engine)
    return any(_of_podman(line) for line in reply.text.splitlines())
