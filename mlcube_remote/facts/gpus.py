# SPDX-License-Identifier: Apache-2.0
"""The GPUs of a host, as NVIDIA's driver reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from mlcube_remote.commands.model import TaskCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.remote import status
from mlcube_remote.transport.base import Connection


@attrs.frozen(kw_only=True)
class Gpus:
    """The GPUs of a host."""

    found: tuple[str, ...] = ()
    """Name and memory of each: ``NVIDIA H100 80GB HBM3, 81559 MiB``."""
    problem: str = ""
    """Why there are none, in one line."""

    def __str__(self) -> str:
        if not self.found:
            return f"none: {self.problem}"
        kinds = Counter(self.found)
        return "; ".join(f"{count} x {kind}" for kind, count in kinds.items())


def ask_gpus(connection: Connection) -> Gpus:
    """Ask a host for its GPUs.

    Raises:
        HostError: The connection is lost.
    """
    reply = connection.call("mlcr_list_gpus")
    lines = [line.strip() for line in reply.text.splitlines() if line.strip()]
    if reply.ok and lines:
        return Gpus(found=tuple(lines))
    if reply.code == status.NO_PROGRAM and not lines:
        return Gpus(problem="nvidia-smi was not found")
    return Gpus(problem=next(iter(lines), f"nvidia-smi failed (status {reply.code})"))


def missing_gpu_warning(
    connection: Connection, tasks: Iterable[TaskCommands], asked: str | None = None
) -> str | None:
    """Return a warning if a task asks for GPUs, the host has none, and its engine ignores that.

    Docker and Podman refuse to start such a task; Singularity and Apptainer run it without GPUs.
    The setting ``--nv`` of a cube means "if there are any". An explicit ``--gpus`` is an error, so
    that a task does not run for days on the CPU by mistake.

    Args:
        connection: The host.
        tasks: The tasks to run.
        asked: The value of the command line's ``--gpus``.

    Raises:
        HostUnfitError: ``asked`` requires GPUs.
        HostError: The connection is lost.
    """
    asking = next((task for task in tasks if _passes_gpus(task)), None)
    if asking is None:
        return None
    gpus = ask_gpus(connection)
    if gpus.found:
        return None
    if asked:
        raise HostUnfitError(
            connection.name,
            f"{asking.platform} cannot apply --gpus={asked}: the host has {gpus}",
            hint="run without GPUs (--gpus=0), or on another host",
        )
    return (
        f"the cube's {asking.platform} settings ask for GPUs (--nv), and the host has {gpus}; "
        "the task runs without them"
    )


def passes_gpus(tasks: Iterable[TaskCommands]) -> bool:
    """Return whether a host must be asked about the GPUs of a task."""
    return any(map(_passes_gpus, tasks))


def _passes_gpus(task: TaskCommands) -> bool:
    argv = task.run[-1]
    return "--nv" in argv[task.launch_at : argv.index(task.image)]
