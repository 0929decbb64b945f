# SPDX-License-Identifier: Apache-2.0
"""Read the inventory, and select hosts from it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from mlcube_remote.app.inventory_sources import read_source
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cube.load import cube_directory
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory import load
from mlcube_remote.inventory.ansible import Translation
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.label_filter import filter_by_labels
from mlcube_remote.inventory.locate import FoundInventory, cube_around, find_inventory
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.select import select
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.runs.trusted_cubes import read_trust
from mlcube_remote.trust.inventory_requests import inventory_requests
from mlcube_remote.trust.requests import CubeRequest, Trust, check


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
    directory = None if cube is None else cube_directory(cube)
    return open_found(find_inventory(explicit, directory), trust=trust, of=directory)


def open_found(
    found: FoundInventory | None, *, trust: Trust | None = None, of: Path | None = None
) -> Inventory:
    """Read an inventory that was found before.

    Args:
        found: The inventory.
        trust: As for :func:`open_inventory`.
        of: The cube that ``trust`` is about.

    Raises:
        InventoryError: As for :func:`open_inventory`.
    """
    if found is None:
        return load.empty()
    source = _read_source(found, trust if of is not None else None, of)
    inventory = load.read(source.document)
    if found.cube is not None:
        check(
            inventory_requests(source.document),
            trust or read_trust(found.cube, everything=False),
            cube=found.cube,
            error=InventoryError,
            has_flag=trust is not None,
        )
    notes = source.notes
    if source.jump_keys and found.cube is not None:
        name = found.path.name
        notes = (
            *notes,
            f"{name}: keys for jump hosts not used, because a cube may not choose them",
        )
    return attrs.evolve(
        inventory,
        cube=found.cube,
        notes=notes,
        trust_setting=source.trust_setting,
        jump_keys={} if found.cube is not None else source.jump_keys,
    )


def _read_source(found: FoundInventory, trust: Trust | None, of: Path | None) -> Translation:
    """Read an inventory; what runs a program of a cube needs trust, also if the user names it."""
    cube = cube_around(found.path)
    if cube is None:
        return read_source(found.path, may_run=None)
    is_same = of is not None and os.path.realpath(of) == os.path.realpath(cube)
    known = trust if trust is not None and is_same else read_trust(cube, everything=False)

    def may_run(request: CubeRequest, *, must: bool) -> bool:
        if must:
            has_flag = trust is not None and is_same
            check([request], known, cube=cube, error=InventoryError, has_flag=has_flag)
        return not known.missing([request])

    return read_source(found.path, may_run=may_run)


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
            hint=f"name one of them: {', '.join(host.name for host in hosts[:12])}",
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
