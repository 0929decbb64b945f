# SPDX-License-Identifier: Apache-2.0
"""From what the user typed after ``--host`` to hosts, in that order and without duplicates."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import host_fields
from mlcube_remote.inventory.host_ranges import expand, is_range, split_all
from mlcube_remote.inventory.load import ALL
from mlcube_remote.inventory.model import LOCAL_HOST, ConnectionKind, Host, Inventory
from mlcube_remote.inventory.sshconfig import knows
from mlcube_remote.yamlsource import nearest

_AD_HOC = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][\w.\\-]*)@)?"
    r"(?:(?P<host>[A-Za-z0-9_][\w.-]*)|\[(?P<ipv6>[0-9A-Za-z:.%_-]+)\])(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_IPV6_IN_BRACKETS = re.compile(r"\[[0-9A-Fa-f]*:[^\[\]]*\]")


def select(
    inventory: Inventory,
    patterns: Iterable[str],
    *,
    known_to_ssh: Callable[[str], bool] = knows,
) -> tuple[Host, ...]:
    """Return the hosts that patterns name.

    Args:
        inventory: Where names are looked up.
        patterns: Names, groups, globs, ranges, ``user@host:port`` and ``!exclusions``, commas
            between them. Exclusions hold wherever they stand; no glob means ``local``.
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
            for host in _matching(inventory, part, known_to_ssh):
                if chosen.setdefault(host.name, host) != host:
                    raise InventoryError(
                        f"--host: '{host.name}' is named twice, and differently ({part!r})",
                        hint="name it once, or give it a second name in the inventory",
                    )
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
            raise InventoryError(
                "'all': there is no host in the inventory",
                hint="name one of your ~/.ssh/config, or write a hosts.yaml",
            )
        return every
    # Before globs, to which brackets mean one character: gpu[01-02]* is neither gpu03 nor gpu10.
    if is_range(part) and not _IPV6_IN_BRACKETS.search(part):
        try:
            names = expand(part)
        except ValueError as problem:
            raise InventoryError(f"--host: {problem}") from problem
        return [host for name in names for host in _matching(inventory, name, known_to_ssh)]
    if any(character in part for character in "*?"):
        found = [
            host
            for name, host in inventory.hosts.items()
            if fnmatch.fnmatchcase(name, part) and name != LOCAL_HOST.name
        ]
        if not found:
            raise InventoryError(f"{part!r} matches no host", hint=_names(inventory))
        return found
    return [_one(inventory, part, known_to_ssh)]


def _one(inventory: Inventory, name: str, known_to_ssh: Callable[[str], bool]) -> Host:
    if name in inventory.hosts:
        return inventory.hosts[name]
    match = _AD_HOC.fullmatch(
        f"[{name}]" if host_fields.is_ip_address(name) and ":" in name else name
    )
    if (
        match is None
        or len(name) > host_fields.NAME_LENGTH
        or not 0 < int(match["port"] or 22) < 65536
        or (match["ipv6"] and not host_fields.is_ip_address(match["ipv6"]))
    ):
        raise InventoryError(f"--host: expected a host's name, got {name!r}")
    host = match["host"] or match["ipv6"]
    base = inventory.hosts.get(host, inventory.defaults)
    user = match["user"] or base.user
    port = int(match["port"]) if match["port"] else base.port
    if host in inventory.hosts and not base.is_local:
        return attrs.evolve(base, user=user, port=port)
    if match["user"] or match["port"] or _is_address(host) or known_to_ssh(host):
        return attrs.evolve(
            inventory.defaults,
            name=re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-"),
            address=host,
            user=user,
            port=port,
            connection=ConnectionKind.SSH,
            source=None,
        )
    meant = nearest(name, (*inventory.hosts, *inventory.groups))
    suffix = f" (did you mean '{meant}'?)" if meant else ""
    raise InventoryError(
        f"unknown host '{name}'{suffix}: neither the inventory nor ssh_config knows it",
        hint=_names(inventory),
    )


def _is_address(host: str) -> bool:
    return "." in host.strip(".") or host_fields.is_ip_address(host)


def _names(inventory: Inventory) -> str:
    names = [*inventory.groups, *inventory.hosts]
    rest = f", … ({len(names)} in all)" if len(names) > 12 else ""
    where = f" in {inventory.path}" if inventory.path else ""
    return f"known{where}: {', '.join(names[:12])}{rest}"
