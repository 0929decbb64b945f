# SPDX-License-Identifier: Apache-2.0
"""From what the user typed after ``--host`` to hosts, in that order and without duplicates."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import keys
from mlcube_remote.inventory.load import ALL
from mlcube_remote.inventory.model import ConnectionKind, Host, Inventory
from mlcube_remote.inventory.ranges import expand, is_range, split_all
from mlcube_remote.inventory.sshconfig import knows
from mlcube_remote.yamlsource import nearest

_AD_HOC = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][\w.\\-]*)@)?(?P<host>[A-Za-z0-9_][\w.-]*)"
    r"(?::(?P<port>\d{1,5}))?"
)


def select(
    inventory: Inventory,
    patterns: Iterable[str],
    *,
    known_to_ssh: Callable[[str], bool] = knows,
) -> tuple[Host, ...]:
    """Return the hosts that patterns name.

    Args:
        inventory: Where names are looked up.
        patterns: Names, groups, globs, ranges and ``!exclusions``, commas between them. Exclusions
            hold wherever they stand.
        known_to_ssh: Whether ssh_config has something to say about a name.

    Raises:
        InventoryError: A name is unknown, a pattern matches nothing, or nothing is left.
    """
    chosen: dict[str, Host] = {}
    excluded: set[str] = set()
    for part in split_all(patterns):
        if part.startswith("!"):
            excluded |= {host.name for host in _matching(inventory, part[1:], known_to_ssh)}
        else:
            chosen |= {host.name: host for host in _matching(inventory, part, known_to_ssh)}
    if excluded and not chosen:
        chosen = {host.name: host for host in _every(inventory)}
    left = tuple(host for name, host in chosen.items() if name not in excluded)
    if not left:
        raise InventoryError(
            "no host is left to work on",
            hint="the exclusions take away all that was named" if excluded else "name a host",
        )
    return left


def _every(inventory: Inventory) -> list[Host]:
    return [host for host in inventory.hosts.values() if not host.is_local]


def _matching(inventory: Inventory, part: str, known_to_ssh: Callable[[str], bool]) -> list[Host]:
    if part in inventory.groups:
        return [inventory.hosts[name] for name in inventory.groups[part]]
    if part == ALL:
        if not (every := _every(inventory)):
            raise InventoryError("'all': there is no host in the inventory")
        return every
    if any(character in part for character in "*?"):
        found = [host for name, host in inventory.hosts.items() if fnmatch.fnmatchcase(name, part)]
        if not found:
            raise InventoryError(f"{part!r} matches no host", hint=_names(inventory))
        return found
    if is_range(part):
        try:
            return [_one(inventory, name, known_to_ssh) for name in expand(part)]
        except ValueError as problem:
            raise InventoryError(f"--host: {problem}") from problem
    return [_one(inventory, part, known_to_ssh)]


def _one(inventory: Inventory, name: str, known_to_ssh: Callable[[str], bool]) -> Host:
    if name in inventory.hosts:
        return inventory.hosts[name]
    meant = nearest(name, (*inventory.hosts, *inventory.groups))
    match = _AD_HOC.fullmatch(name)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise InventoryError(f"--host: expected a host's name, got {name!r}")
    host = match["host"]
    if match["user"] or match["port"] or _is_address(host) or known_to_ssh(host):
        return attrs.evolve(
            inventory.defaults,
            name=re.sub(r"[^A-Za-z0-9_.-]", "_", name)
            if keys.NAME.fullmatch(name) is None
            else name,
            address=host,
            user=match["user"] or inventory.defaults.user,
            port=int(match["port"]) if match["port"] else inventory.defaults.port,
            connection=ConnectionKind.SSH,
            source=None,
        )
    suffix = f" (did you mean '{meant}'?)" if meant else ""
    raise InventoryError(
        f"unknown host '{name}'{suffix}: neither the inventory nor ssh_config knows it",
        hint=_names(inventory),
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.strip(".")
    return True


def _names(inventory: Inventory) -> str:
    names = [*inventory.groups, *inventory.hosts]
    rest = f", … ({len(names)} in all)" if len(names) > 12 else ""
    where = f" in {inventory.path}" if inventory.path else ""
    return f"known{where}: {', '.join(names[:12])}{rest}"
