# SPDX-License-Identifier: Apache-2.0
"""The GPUs of a host, as NVIDIA's driver tells them: shown by ``hosts check``, missed by a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from mlcube_remote.commands.model import TaskCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.transport.base import Connection

_NOBODY_TO_ASK = 127


@attrs.frozen(kw_only=True)
class Gpus:
    """What a host has."""

    found: tuple[str, ...] = ()
    """Name and memory of each: ``NVIDIA H100 80GB HBM3, 81559 MiB``."""
    problem: str = ""
    """Why there is none, in one line."""

    def __str__(self) -> str:
        if not self.found:
            return f"none: {self.problem}"
        kinds = Counter(self.found)
        return "; ".join(f"{count} x {kind}" for kind, count in kinds.items())


def ask(connection: Connection) -> Gpus:
    """Ask a host for its GPUs.

    Raises:
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_list_gpus")
    lines = [line.strip() for line in reply.text.splitlines() if line.strip()]
    if reply.ok and lines:
        return Gpus(found=tuple(lines))
    if reply.code == _NOBODY_TO_ASK and not lines:
        return Gpus(problem="nvidia-smi was not found")
    return Gpus(problem=next(iter(lines), f"nvidia-smi failed (status {reply.code})"))


def missed(
    connection: Connection, tasks: Iterable[TaskCommands], asked: str | None = None
) -> str | None:
    """Return what is to be said where a task's GPUs are not there and nobody would complain.

    Docker and Podman refuse to start such a task; Singularity and Apptainer run it without. A
    setting (``--nv``) means GPUs where there are some; who asks for them on the command line is
    not to wait for days for a task that runs without.

    Args:
        connection: The host.
        tasks: What is to run.
        asked: The command line's ``--gpus``.

    Raises:
        HostUnfitError: ``asked`` names some.
        HostError: The connection is lost.
    """
    asking = next((task for task in tasks if _hands_over(task)), None)
    if asking is None:
        return None
    gpus = ask(connection)
    if gpus.found:
        return None
    if asked:
        raise HostUnfitError(
            connection.name,
            f"{asking.platform} cannot honour --gpus={asked}: there is {gpus}",
            hint="run it without GPUs (--gpus=0), or on another host",
        )
    return (
        f"{asking.platform} is to hand over GPUs (--nv of the settings), and there is {gpus}; "
        "the task runs without"
    )


def _hands_over(task: TaskCommands) -> bool:
    argv = task.run[-1]
    return "--nv" in argv[task.launch_at : argv.index(task.image)]
