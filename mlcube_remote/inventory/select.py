# SPDX-License-Identifier: Apache-2.0
"""Turn the values of ``--host`` into hosts, in that order and without duplicates."""

from __future__ import annotations

import fnmatch
import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterable

import attrs

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.endpoint import Destination, is_ip_address, parse_destination
from mlcube_remote.inventory.host_fields import MAX_NAME_LENGTH
from mlcube_remote.inventory.host_ranges import expand, is_range, split_all
from mlcube_remote.inventory.load import ALL
from mlcube_remote.inventory.locate import FILE_NAME
from mlcube_remote.inventory.model import LOCAL_HOST, ConnectionKind, Host, Inventory
from mlcube_remote.inventory.ssh_config_names import list_ssh_names
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE, is_configured
from mlcube_remote.suggestions import did_you_mean

_MAX_LISTED = 12
_IPV6_IN_BRACKETS = re.compile(r"\[[0-9A-Fa-f]*:[^\[\]]*\]")


def select(
    inventory: Inventory,
    patterns: Iterable[str],
    *,
    is_in_ssh_config: Callable[[str], bool] = is_configured,
) -> tuple[Host, ...]:
    """Return the hosts that match patterns.

    Args:
        inventory: The hosts and groups.
        patterns: Names, groups, globs, ranges, ``user@host:port`` and ``!exclusions``,
            comma-separated. The order of exclusions does not matter; a glob never matches
            ``local``.
        is_in_ssh_config: Returns whether ssh_config has settings for a name.

    Raises:
        InventoryError: A name is unknown, a pattern matches nothing, or no host is selected.
    """
    chosen: dict[str, Host] = {}
    excluded: set[str] = set()
    for part in split_all(patterns):
        if part.startswith("!"):
            excluded |= {host.name for host in _matching(inventory, part[1:], is_in_ssh_config)}
        else:
            for host in _matching(inventory, part, is_in_ssh_config):
                if chosen.setdefault(host.name, host) != host:
                    raise InventoryError(
                        f"--host: '{host.name}' is named twice with different settings ({part!r})",
                        hint="name it once, or give it a second name in the inventory",
                    )
    if excluded and not chosen:
        chosen = {host.name: host for host in _all_remote(inventory)}
    selected = tuple(host for name, host in chosen.items() if name not in excluded)
    if not selected:
        raise InventoryError(
            "no host is selected",
            hint="the exclusions (!NAME) remove all of them" if excluded else "name a host",
        )
    return selected


def _all_remote(inventory: Inventory) -> list[Host]:
    return [host for host in inventory.hosts.values() if not host.is_local]


def _matching(
    inventory: Inventory, part: str, is_in_ssh_config: Callable[[str], bool]
) -> list[Host]:
    if part in inventory.groups:
        return [inventory.hosts[name] for name in inventory.groups[part]]
    if part == ALL:
        return _all_or_fail(inventory)
    # Before globs, where brackets mean one character: gpu[01-02]* is neither gpu03 nor gpu10.
    if is_range(part) and not _IPV6_IN_BRACKETS.search(part):
        try:
            names = expand(part)
        except ValueError as problem:
            raise InventoryError(f"--host: {problem}") from problem
        return [host for name in names for host in _matching(inventory, name, is_in_ssh_config)]
    if any(character in part for character in "*?"):
        return _glob(inventory, part)
    return [_one(inventory, part, is_in_ssh_config)]


def _all_or_fail(inventory: Inventory) -> list[Host]:
    if hosts := _all_remote(inventory):
        return hosts
    problem = f"{inventory.path} has no hosts" if inventory.path else "no inventory found"
    raise InventoryError(
        f"'{ALL}': {problem}",
        hint="name a host of ~/.ssh/config, or add one: mlcube-remote hosts add NAME USER@ADDRESS",
    )


def _glob(inventory: Inventory, pattern: str) -> list[Host]:
    hosts = [
        host
        for name, host in inventory.hosts.items()
        if fnmatch.fnmatchcase(name, pattern) and name != LOCAL_HOST.name
    ]
    if not hosts:
        raise InventoryError(f"{pattern!r} matches no host", hint=_list_names(inventory))
    return hosts


def _one(inventory: Inventory, name: str, is_in_ssh_config: Callable[[str], bool]) -> Host:
    if name in inventory.hosts:
        return inventory.hosts[name]
    # ssh(1) takes ssh://[user@]host[:port], too.
    name = name.removeprefix("ssh://").removesuffix("/")
    typed = _parse(name)
    host = typed.host
    base = inventory.hosts.get(host, inventory.defaults)
    user = typed.user or base.user
    port = typed.port or base.port
    if host in inventory.hosts and not base.is_local:
        if (user, port) == (base.user, base.port):
            return base
        # Another name, because another account has other jobs.
        address = base.address or host
        return attrs.evolve(
            base, name=_name_of(name), typed=name, address=address, user=user, port=port
        )
    if typed.user or typed.port or _is_address(host) or _is_known(host, is_in_ssh_config):
        return attrs.evolve(
            inventory.defaults,
            name=_name_of(name),
            typed=name,
            address=host,
            user=user,
            port=port,
            connection=ConnectionKind.SSH,
            source=None,
        )
    file = inventory.path.name if inventory.path is not None else FILE_NAME
    in_ssh_config = list_ssh_names(os.environ.get(CONFIG_VARIABLE))
    suggestion = did_you_mean(name, (*inventory.hosts, *inventory.groups, *in_ssh_config))
    if shutil.which("ssh") is None:
        raise InventoryError(
            f"host '{name}' is not in {file}, and ssh, which reads ~/.ssh/config, was not "
            f"found on this machine{suggestion}",
            hint="install it (Debian, Ubuntu: apt-get install openssh-client)",
        )
    raise InventoryError(
        f"host '{name}' is not in {file} or ~/.ssh/config{suggestion}",
        hint=f"{_list_names(inventory)}; any other host: USER@ADDRESS",
    )


def _is_known(host: str, is_in_ssh_config: Callable[[str], bool]) -> bool:
    """Return whether ssh_config names a host, or has settings for it.

    Raises:
        InventoryError: ssh does not read the file that names it.
    """
    if is_in_ssh_config(host):
        return True
    file = os.environ.get(CONFIG_VARIABLE)
    if host not in list_ssh_names(file):
        return False
    used, home = os.path.expanduser("~"), _home_of_ssh()
    if file is None and os.path.realpath(home) != os.path.realpath(used):
        raise InventoryError(
            f"host '{host}' is in ~/.ssh/config, which ssh does not read: HOME is {used}, and the "
            f"home directory of this user is {home}",
            hint=f"name the file: {CONFIG_VARIABLE}=~/.ssh/config",
        )
    return True


def _home_of_ssh() -> str:
    """Return the home directory from the list of users: ssh does not look at HOME."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.path.expanduser("~")


def _name_of(destination: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", destination).lstrip(".-")


def selector(host: Host) -> str:
    """Return the text that selects a host again: its name, or ``user@host:port`` as typed."""
    return host.typed or host.name


def machine_name(host: Host) -> str:
    """Return the name of a host without the user and port that were typed with it."""
    return host.name if host.typed is None else _parse(host.typed).host


def _parse(name: str) -> Destination:
    error = InventoryError(
        f"--host: expected a host's name, got {name!r}",
        hint="several hosts: A,B; without one of them: GROUP,!A; a port: USER@HOST:PORT",
    )
    if len(name) > MAX_NAME_LENGTH:
        raise error
    try:
        return parse_destination(f"[{name}]" if ":" in name and is_ip_address(name) else name)
    except ValueError as problem:
        raise error from problem


def _is_address(host: str) -> bool:
    return "." in host.strip(".") or is_ip_address(host)


def _list_names(inventory: Inventory) -> str:
    names = [*inventory.groups, *inventory.hosts]
    rest = f", … ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    where = f" in {inventory.path}" if inventory.path else ""
    return f"known{where}: {', '.join(names[:_MAX_LISTED])}{rest}"
