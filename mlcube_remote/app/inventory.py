# SPDX-License-Identifier: Apache-2.0
"""Read the inventory, and select hosts from it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from mlcube_remote import yamlsource
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cube.load import cube_directory
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory import load
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.label_filter import filter_by_labels
from mlcube_remote.inventory.locate import FoundInventory, find_inventory
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.select import select
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.runs.trusted_cubes import read_trust
from mlcube_remote.trust.inventory_requests import inventory_requests
from mlcube_remote.trust.requests import Trust, check


def open_inventory(
    explicit: str | None, cube: str | None = None, *, trust: Trust | None = None
) -> Inventory:
    """Find and read the inventory.

    Args:
        explicit: Its path, if the user named one.
        cube: Directory of the cube, or its YAML file: the inventory may be beside it.
        trust: What the cube may ask for; ``None``: what the user allowed before.

    Raises:
        InventoryError: The file is wrong, or the named one does not exist, or it belongs to a cube
            and asks for something that the user has not allowed.
    """
    return open_found(
        find_inventory(explicit, None if cube is None else cube_directory(cube)), trust=trust
    )


def open_found(found: FoundInventory | None, *, trust: Trust | None = None) -> Inventory:
    """Read an inventory that was found before; see :func:`open_inventory`."""
    if found is None:
        return load.empty()
    document = yamlsource.load(found.path, error=InventoryError)
    inventory = load.read(document)
    if found.cube is not None:
        check(
            inventory_requests(document),
            trust or read_trust(found.cube, everything=False),
            cube=found.cube,
            error=InventoryError,
            has_flag=trust is not None,
        )
    return attrs.evolve(inventory, cube=found.cube)


def select_hosts(
    inventory: Inventory, patterns: Iterable[str], where: Iterable[str] = ()
) -> tuple[Host, ...]:
    """Return the hosts that match patterns and labels; labels alone apply to all hosts.

    Raises:
        UsageError: There is neither a pattern nor a label.
        InventoryError: A host is unknown, or no host matches.
    """
    labels = list(where)
    names = list(patterns) or (["all"] if labels else [])
    if not names:
        known = ", ".join([*inventory.groups, *inventory.hosts][:12])
        raise UsageError(
            "no host is named: expected --host=NAME",
            hint=f"in the inventory: {known}; or any name in ~/.ssh/config"
            if known
            else "--host=NAME, with any name in ~/.ssh/config or in a hosts.yaml",
        )
    return filter_by_labels(select(inventory, names), labels, known=inventory.hosts.values())


def select_host(inventory: Inventory, name: str) -> Host:
    """Return the one host that a name means.

    Raises:
        UsageError: The name means several hosts.
        InventoryError: The host is unknown.
    """
    hosts = select_hosts(inventory, [name])
    if len(hosts) > 1:
        raise UsageError(
            f"{name}: means {len(hosts)} hosts, expected one",
            hint=f"use one connection per host: {', '.join(host.name for host in hosts[:12])}",
        )
    return hosts[0]


def resolve_hosts(options: HostOptions) -> list[tuple[Host, Endpoint | None]]:
    """Return hosts, and how ssh reaches each; ``None`` for this machine.

    Raises:
        InventoryError: A host is unknown, or its ssh configuration cannot be read.
    """
    inventory = open_inventory(options.inventory)
    hosts = select_hosts(inventory, options.names, options.where)
    return [(host, None if host.is_local else resolve(host, inventory)) for host in hosts]
