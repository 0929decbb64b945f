# SPDX-License-Identifier: Apache-2.0
"""Read the inventory, choose hosts, and log in to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from mlcube_remote.app.observer import Warn
from mlcube_remote.app.options import AskCredentials, Credentials, HostOptions
from mlcube_remote.errors import InventoryError, UsageError
from mlcube_remote.inventory import locate
from mlcube_remote.inventory.endpoint import Endpoint
from mlcube_remote.inventory.model import Host, Inventory
from mlcube_remote.inventory.select import select
from mlcube_remote.inventory.sshconfig import resolve
from mlcube_remote.inventory.where import narrow
from mlcube_remote.jobs.lookup import recorded_hosts
from mlcube_remote.runs.store import RecordError, Store
from mlcube_remote.transport.base import Connection


def open_inventory(explicit: str | None, cube: str = ".") -> Inventory:
    """Find and read the inventory.

    Args:
        explicit: Its path, if the user named one.
        cube: Directory of the cube, or its YAML file: the inventory may be beside it.

    Raises:
        InventoryError: The file is wrong, or the named one does not exist.
    """
    path = Path(cube).expanduser()
    return locate.open_inventory(explicit, path if path.is_dir() else path.parent)


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
    return narrow(select(inventory, names), labels, known=inventory.hosts.values())


def resolve_hosts(options: HostOptions) -> list[tuple[Host, Endpoint | None]]:
    """Return hosts, and how ssh reaches each; ``None`` for this machine.

    Raises:
        InventoryError: A host is unknown, or its ssh configuration cannot be read.
    """
    inventory = open_inventory(options.inventory)
    hosts = select_hosts(inventory, options.names, options.where)
    return [(host, None if host.is_local else resolve(host, inventory)) for host in hosts]


def known_hosts(inventory: Inventory, warn: Warn) -> tuple[Host, ...]:
    """Return all hosts that may have jobs: those of the inventory and of recorded runs."""
    store = Store()
    names = dict.fromkeys(name for name in inventory.hosts if name != "local")
    for run_id in store.runs():
        try:
            names.update(dict.fromkeys(recorded_hosts(run_id, store)))
        except RecordError as problem:
            warn(str(problem))
    hosts: list[Host] = []
    for name in names:
        try:
            hosts += select_hosts(inventory, [name])
        except InventoryError:
            # The host belongs to another inventory, and is asked if that one is named.
            continue
    return tuple(hosts)


@attrs.frozen(kw_only=True)
class Logins:
    """Connects to the hosts of an inventory."""

    inventory: Inventory
    credentials: Credentials

    def connect(self, host: Host, note: Callable[[str], None] = lambda _: None) -> Connection:
        """Open a connection to a host.

        Args:
            host: The host.
            note: Takes notes for the user.

        Raises:
            ConnectError: The host cannot be connected to.
        """
        # The SSH libraries are slow to import: the threads that connect share that time.
        from mlcube_remote.transport import connect  # noqa: PLC0415

        return connect(
            host,
            self.inventory,
            password=self.credentials.password,
            passphrase=self.credentials.passphrase,
            note=note,
        )


@attrs.frozen(kw_only=True)
class ChosenHosts:
    """Hosts to ask, and how to log in to them."""

    hosts: tuple[Host, ...]
    logins: Logins


def choose_hosts(
    options: HostOptions,
    credentials: AskCredentials,
    warn: Warn,
    *,
    needs_host: bool = False,
) -> ChosenHosts:
    """Return the hosts that a command asks; if none is named, all hosts that may have jobs.

    Args:
        options: The options.
        credentials: Returns the secrets for the login; called once the hosts are known.
        warn: Shows warnings about records.
        needs_host: Whether it is an error if there is no host at all.

    Raises:
        UsageError: There is no host to ask.
        InventoryError: A host is unknown.
    """
    inventory = open_inventory(options.inventory)
    if options.names or options.where:
        hosts = select_hosts(inventory, options.names, options.where)
    else:
        hosts = known_hosts(inventory, warn)
    if needs_host and not hosts:
        raise UsageError(
            "no host to ask: there is no inventory, and no run is recorded on this machine",
            hint="name one: --host=NAME",
        )
    return ChosenHosts(hosts=hosts, logins=Logins(inventory=inventory, credentials=credentials()))
