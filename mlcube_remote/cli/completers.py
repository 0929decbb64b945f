# SPDX-License-Identifier: Apache-2.0
"""What a shell completes: hosts, labels, tasks and platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcube_remote import app
from mlcube_remote.app.options import CubeOptions
from mlcube_remote.errors import MLCubeRemoteError

if TYPE_CHECKING:
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


def complete_tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several tasks with commas between."""
    try:
        tasks = app.request.load_cube(CubeOptions(path=ctx.params.get("path") or ".")).tasks
    except MLCubeRemoteError:
        return []
    head, comma, last = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in tasks if name.startswith(last)]


def complete_platforms(_: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a platform, the user's own included."""
    from mlcube_remote.cube import system_settings  # noqa: PLC0415 - only on completion
    from mlcube_remote.platforms import PLATFORMS  # noqa: PLC0415

    try:
        names = dict.fromkeys((*PLATFORMS, *system_settings.load().names))
    except MLCubeRemoteError:
        return []
    return [name for name in names if name.startswith(incomplete)]
