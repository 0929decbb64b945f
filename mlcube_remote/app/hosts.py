# SPDX-License-Identifier: Apache-2.0
"""Choose the hosts of a command, and list their jobs."""

from __future__ import annotations

import attrs

from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.app.known_hosts import known_hosts
from mlcube_remote.app.logins import Logins
from mlcube_remote.app.observer import Warn
from mlcube_remote.app.options import AskCredentials, HostOptions
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.query import HostJobs, query_all


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
    for note in inventory.notes:
        warn(note)
    if options.names or options.where:
        hosts = select_hosts(inventory, options.names, options.where)
    else:
        hosts = known_hosts(inventory, warn)
    if needs_host and not hosts:
        raise UsageError(
            "no host to ask: neither an inventory nor a recorded run names one",
            hint="name a host: --host=NAME; or an inventory: --inventory=FILE",
        )
    return ChosenHosts(hosts=hosts, logins=Logins(inventory=inventory, credentials=credentials()))


def list_jobs(chosen: ChosenHosts, *, everything: bool) -> tuple[HostJobs, ...]:
    """Return the jobs on hosts.

    Args:
        chosen: The hosts.
        everything: Whether to include jobs that have ended.
    """
    return query_all(chosen.hosts, chosen.logins.connect, everything=everything)
