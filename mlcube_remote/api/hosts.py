# SPDX-License-Identifier: Apache-2.0
"""Ask hosts.

A host that gives no answer has an ``error``; it raises no exception.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlcube_remote import app
from mlcube_remote.api.arguments import Access, Names, access
from mlcube_remote.api.observer import warn
from mlcube_remote.app.options import DEFAULT_CLEAN_AGE_S
from mlcube_remote.facts.check_result import HostCheck
from mlcube_remote.facts.usage import HostUsage
from mlcube_remote.inventory.model import Host
from mlcube_remote.jobs.clean import Cleaned
from mlcube_remote.jobs.clean_mirrors import CleanedMirrors, MirrorRules
from mlcube_remote.jobs.disk import HostDisk
from mlcube_remote.jobs.query import HostJobs

if TYPE_CHECKING:
    from mlcube_remote.app.hosts import ChosenHosts


def hosts(
    names: Names = "all",
    *,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
) -> tuple[Host, ...]:
    """Return hosts as the inventory describes them, without asking any.

    Args:
        names: Names, groups, globs and ranges.
        where: Only those with these labels, such as ``gpu=a100``.
        inventory: The file; by default the one that the command line would read.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in the file.
    """
    options = access(names, inventory, None, None, where=where).hosts
    found = app.inventory.open_inventory(options.inventory)
    return app.inventory.select_hosts(found, options.names, options.where)


def ps(
    hosts: Names = (),
    *,
    everything: bool = False,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostJobs, ...]:
    """Return the jobs on hosts, whichever client started them.

    Args:
        hosts: Hosts to ask; empty: those of the inventory, and those of recorded runs.
        everything: Whether to include jobs that have ended.
        where: Only hosts with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    return app.hosts.list_jobs(chosen, everything=everything)


def check(
    hosts: Names = "all",
    *,
    where: Names = (),
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostCheck, ...]:
    """Return whether runs would work on hosts: login, rsync, engine, permission, disk.

    Args:
        hosts: Hosts to ask.
        where: Only hosts with these labels.
        platform: The engine to check; by default the host's.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    return app.host_queries.check_hosts(chosen, platform)


def top(
    hosts: Names = "all",
    *,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostUsage, ...]:
    """Return the usage of hosts: load, memory, disk, GPUs and who uses them.

    Args:
        hosts: Hosts to ask.
        where: Only hosts with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    return app.host_queries.read_usage(chosen)


def clean(
    hosts: Names = (),
    *,
    older_than: float = DEFAULT_CLEAN_AGE_S,
    with_outputs: bool = False,
    dry_run: bool = False,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[Cleaned, ...]:
    """Remove the logs and records of ended jobs, here and on hosts; outputs stay.

    Args:
        hosts: Hosts to clean; empty: as for :func:`ps`.
        older_than: Minimum age of a job in seconds.
        with_outputs: Whether to remove also jobs whose outputs this machine has not pulled.
        dry_run: Whether to report what would be removed, and remove nothing.
        where: Only hosts with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    return app.host_queries.clean_jobs(
        chosen, older_than=older_than, with_outputs=with_outputs, dry_run=dry_run
    )


def disk(
    hosts: Names = "all",
    *,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostDisk, ...]:
    """Return what cubes, data, jobs and images need on hosts, and when they were last used.

    Args:
        hosts: Hosts to ask.
        where: Only hosts with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    return app.host_queries.read_disk(chosen)


def clean_mirrors(
    hosts: Names = (),
    *,
    older_than: float,
    cubes: bool = True,
    images: bool = False,
    with_outputs: bool = False,
    dry_run: bool = False,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[CleanedMirrors, ...]:
    """Remove from hosts what no job has used for some time; see :func:`disk`.

    Args:
        hosts: Hosts to clean; empty: as for :func:`ps`.
        older_than: Minimum number of seconds since the last use.
        cubes: Whether to remove mirrors of cubes and workspaces, with their SIF images, and data.
        images: Whether to remove images that were built with Docker or Podman.
        with_outputs: Whether to remove also what may have outputs that no client has pulled.
        dry_run: Whether to report what would be removed, and remove nothing.
        where: Only hosts with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    chosen = _choose(access(hosts, inventory, password, passphrase, where=where))
    rules = MirrorRules(
        older_than=older_than, cubes=cubes, images=images, with_outputs=with_outputs
    )
    return app.host_queries.clean_mirrors(chosen, rules, dry_run=dry_run)


def _choose(where: Access) -> ChosenHosts:
    return app.hosts.choose_hosts(where.hosts, where.credentials, warn)
