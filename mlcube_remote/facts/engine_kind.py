# SPDX-License-Identifier: Apache-2.0
"""What the program of the platform ``docker`` is: some hosts have Podman behind this name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mlcube_remote.commands.model import Argv, ImageCommands, TaskCommands
from mlcube_remote.cube.host_paths import NO_VARIABLES
from mlcube_remote.transport.base import Connection
from mlcube_remote.transport.quoting import quote_words

_of_podman = re.compile(r"(?:podman|docker) version \d").match
"""What Podman prints, under its own name and as ``docker``. Docker prints ``Docker version``."""

_DIFFERENT = ("--gpus", "--device")
"""Options whose values the two programs understand differently."""


def docker_question(image: ImageCommands, tasks: Iterable[TaskCommands]) -> Mapping[str, str]:
    """Return the variables with which the probe asks what the program ``docker`` is.

    Args:
        image: The commands for the job's image.
        tasks: Those for its tasks.
    """
    if image.platform != "docker":
        return NO_VARIABLES
    depends = any(_depends_on_kind(task) for task in tasks)
    answer = "yes" if depends else "no"
    return {"mlcr_docker": quote_words(image.engine), "mlcr_depends_on_docker": answer}


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
