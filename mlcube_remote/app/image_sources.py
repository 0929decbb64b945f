# SPDX-License-Identifier: Apache-2.0
"""Find the host that builds or pulls the image for others: ``--ship-image``, ``image_source``."""

from __future__ import annotations

from collections.abc import Iterable

from mlcube_remote.app.inventory import select_host
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory.model import Host, Inventory


def image_sources(
    inventory: Inventory, hosts: Iterable[Host], ship_image: str | None
) -> dict[str, Host]:
    """Return host → the host that its image comes from.

    A host from which others get the image is its own source. A host that is missing builds or pulls
    its image, as it does without these settings.

    Args:
        inventory: All hosts that can be named.
        hosts: The hosts of the run.
        ship_image: The value of ``--ship-image``, which overrides the inventory.

    Raises:
        InventoryError: A source is unknown, or gets its image from another host, or its name means
            several hosts.
    """
    hosts = tuple(hosts)
    names = {host.name: ship_image or host.image_source for host in hosts}
    option = "--ship-image" if ship_image else "image_source"
    try:
        known = {
            name: select_host(inventory, name) for name in dict.fromkeys(names.values()) if name
        }
    except UsageError as problem:
        raise InventoryError(f"{option}: {problem.message}", hint=problem.hint) from problem
    found = {host: known[name] for host, name in names.items() if name}
    for source in {source.name: source for source in found.values()}.values():
        other = found.setdefault(source.name, source)
        if other.name != source.name:
            raise InventoryError(
                f"image_source: {source.name} is the source of other hosts and gets its image from "
                f"{other.name}",
                hint=f"name {other.name} as the source of all of them: --ship-image={other.name}",
            )
    return found
