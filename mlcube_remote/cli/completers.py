# SPDX-License-Identifier: Apache-2.0
"""What a shell completes: hosts, labels, tasks, parameters, jobs and platforms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from mlcube_remote import app
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.cli.run_argument import hosts_of_run, jobs_of_run
from mlcube_remote.errors import MLCubeRemoteError

if TYPE_CHECKING:
    from mlcube_remote.cube.model import Cube
    from mlcube_remote.inventory.model import Inventory


def _inventory(ctx: click.Context) -> Inventory | None:
    try:
        return app.inventory.open_inventory(ctx.params.get("inventory"), ctx.params.get("path"))
    except MLCubeRemoteError:
        return None


def complete_hosts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several hosts, groups and exclusions with commas between."""
    inventory = _inventory(ctx)
    if inventory is None:
        return []
    head, comma, last = incomplete.rpartition(",")
    without = "!" if last.startswith("!") else ""
    names = (*inventory.hosts, *inventory.groups, "all")
    return [
        f"{head}{comma}{without}{name}" for name in names if f"{without}{name}".startswith(last)
    ]


def complete_labels(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete ``LABEL=VALUE`` of any host."""
    inventory = _inventory(ctx)
    if inventory is None:
        return []
    labels = {f"{k}={v}" for host in inventory.hosts.values() for k, v in host.labels.items()}
    return sorted(label for label in labels if label.startswith(incomplete))


def _cube(ctx: click.Context) -> Cube | None:
    options = CubeOptions(
        path=ctx.params.get("path") or ".", workspace=ctx.params.get("workspace") or None
    )
    try:
        return app.request.load_cube(options)
    except MLCubeRemoteError:
        return None


def _chosen_tasks(ctx: click.Context, cube: Cube) -> list[str]:
    """Return the tasks that the command line names; all if it names none."""
    named = {name for text in ctx.params.get("tasks") or () for name in text.split(",")}
    return [name for name in cube.tasks if name in named] or list(cube.tasks)


def _last_of_several(names: Iterable[str], incomplete: str) -> list[str]:
    """Return completions of the last of several names with commas between."""
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]


def complete_tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several tasks with commas between."""
    cube = _cube(ctx)
    return [] if cube is None else _last_of_several(cube.tasks, incomplete)


def complete_parameters(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a parameter of the chosen tasks."""
    cube = _cube(ctx)
    if cube is None:
        return []
    names = [item.name for task in _chosen_tasks(ctx, cube) for item in cube.tasks[task].parameters]
    return _assignments(names, incomplete)


def complete_inputs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several inputs of the chosen tasks, with commas between."""
    cube = _cube(ctx)
    if cube is None:
        return []
    parameters = [item for task in _chosen_tasks(ctx, cube) for item in cube.tasks[task].parameters]
    names = dict.fromkeys(item.name for item in parameters if item.io.value == "input")
    return _last_of_several(names, incomplete)


def complete_sweep(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a name that can be swept: a parameter, or a key of a settings file."""
    from mlcube_remote.plan.sweep_targets import sweepable_names  # noqa: PLC0415 - slow to import

    cube = _cube(ctx)
    if cube is None:
        return []
    try:
        names = sweepable_names(cube, _chosen_tasks(ctx, cube))
    except MLCubeRemoteError:
        return []
    return _assignments(names, incomplete)


def _assignments(names: Iterable[str], incomplete: str) -> list[str]:
    return [f"{name}=" for name in dict.fromkeys(names) if name.startswith(incomplete)]


def complete_jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several jobs of the run that the command line names."""
    return _last_of_several(jobs_of_run(ctx.params.get("run_text") or "last"), incomplete)


def complete_run_hosts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several hosts of the run that the command line names."""
    return _last_of_several(hosts_of_run(ctx.params.get("run_text") or "last"), incomplete)


def complete_reached_hosts(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a host of earlier runs."""
    return [name for name in app.known_hosts.reached_names() if name.startswith(incomplete)]


def complete_platforms(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a platform, the user's own included."""
    from mlcube_remote.cube import system_settings  # noqa: PLC0415 - only on completion
    from mlcube_remote.platforms import PLATFORMS  # noqa: PLC0415

    try:
        names = dict.fromkeys((*PLATFORMS, *system_settings.load().names))
    except MLCubeRemoteError:
        return []
    return [name for name in names if name.startswith(incomplete)]
