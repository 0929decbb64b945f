# SPDX-License-Identifier: Apache-2.0
"""Limits that an engine cannot apply: Docker then drops them without a message.

This happens with rootless Docker on a host without cgroup v2, and if a controller is disabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlcube_remote.commands.model import Argv, Options, TaskCommands
from mlcube_remote.errors import HostUnfitError
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection

_FIELDS: Mapping[str, str] = {
    "--memory": "MemoryLimit",
    "-m": "MemoryLimit",
    "--cpuset-cpus": "CPUSet",
    "--cpus": "CPUCfsQuota",
}
"""Option of ``run`` → the field of ``docker info`` that says whether it is applied."""


def dropped_limit_warning(
    connection: Connection, tasks: Iterable[TaskCommands], options: Options
) -> str | None:
    """Return a warning if the engine of a host drops a limit of a task.

    Args:
        connection: The host.
        tasks: The tasks to run.
        options: The options of the command line.

    Raises:
        HostUnfitError: The command line requests the limit.
        HostError: The connection is lost.
    """
    requested: dict[str, Argv] = {}
    for task in tasks:
        if task.platform in CONTAINER_ENGINES:
            requested.update(dict.fromkeys(_limits(task), task.engine))
    if not requested:
        return None
    engine = next(iter(requested.values()))
    asked = dict.fromkeys(_FIELDS[limit.partition("=")[0]] for limit in requested)
    template = " ".join(f"{field}={{{{.{field}}}}}" for field in asked)
    # Podman has other fields, and reports limits that it cannot apply; so this fails there.
    answers = connection.call("mlcr_print_engine_info", template, *engine).text.split()
    dropped = [
        limit for limit in requested if f"{_FIELDS[limit.partition('=')[0]]}=false" in answers
    ]
    if not dropped:
        return None
    names = ", ".join(dropped)
    reason = f"{' '.join(engine)} cannot limit tasks on this host (rootless, or without cgroup v2)"
    if options.memory or options.cpu:
        raise HostUnfitError(
            connection.name,
            f"{names} cannot be applied: {reason}",
            hint="omit the limit, or run on another host",
        )
    return f"{names} cannot be applied: {reason}; the task runs without this limit"


def has_limits(tasks: Iterable[TaskCommands]) -> bool:
    """Return whether a host must be asked about the limits of a task."""
    return any(task.platform in CONTAINER_ENGINES and _limits(task) for task in tasks)


def _limits(task: TaskCommands) -> list[str]:
    argv = task.run[-1]
    words = argv[task.launch_at : argv.index(task.image)]
    return [word for word in words if word.partition("=")[0] in _FIELDS]
