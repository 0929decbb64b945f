# SPDX-License-Identifier: Apache-2.0
"""Ask hosts.

A host that cannot be asked is an answer with an ``error``, not an exception.
"""

from __future__ import annotations

import os

import attrs

from mlcube_remote.api import arguments
from mlcube_remote.api.arguments import Names
from mlcube_remote.cli.session import Logins, known_hosts, open_inventory, select_hosts
from mlcube_remote.dispatch.checkup import Checkup
from mlcube_remote.dispatch.clean import Cleaned
from mlcube_remote.dispatch.survey import HostSurvey
from mlcube_remote.dispatch.top import HostTop
from mlcube_remote.inventory.model import Host

_WEEK = 7 * 86_400.0


def hosts(
    names: Names = "all",
    *,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
) -> tuple[Host, ...]:
    """Return what the inventory says of hosts, without asking any.

    Args:
        names: Names, groups, globs and ranges.
        where: Only those with these labels, such as ``gpu=a100``.
        inventory: The file; by default the one that the command line would read.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in the file.
    """
    found = open_inventory(None if inventory is None else os.fspath(inventory))
    return select_hosts(found, arguments.names(names), arguments.names(where))


def ps(
    hosts: Names = (),
    *,
    everything: bool = False,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostSurvey, ...]:
    """Return the jobs on hosts, whichever client began them.

    Args:
        hosts: Whom to ask; none: the inventory's hosts, and those of runs that were begun here.
        everything: Jobs that have ended, too.
        where: Of these only those with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    from mlcube_remote.dispatch.survey import survey_all  # noqa: PLC0415

    asked = _asked(hosts, where, inventory, password, passphrase)
    return survey_all(asked.hosts, asked.logins.connect, everything=everything)


def check(
    hosts: Names = "all",
    *,
    where: Names = (),
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[Checkup, ...]:
    """Return whether runs would work on hosts: login, rsync, engine, permission, disk.

    Args:
        hosts: Whom to ask.
        where: Of these only those with these labels.
        platform: The engine to ask for; by default the host's.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    from mlcube_remote.cube import system_settings  # noqa: PLC0415
    from mlcube_remote.dispatch.checkup import check_all  # noqa: PLC0415

    asked = _asked(hosts, where, inventory, password, passphrase)
    return check_all(
        asked.hosts, asked.logins.connect, platform=platform, system=system_settings.load()
    )


def top(
    hosts: Names = "all",
    *,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[HostTop, ...]:
    """Return how busy hosts are: load, memory, disk, GPUs and who has them.

    Args:
        hosts: Whom to ask.
        where: Of these only those with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    from mlcube_remote.dispatch.top import top_all  # noqa: PLC0415

    asked = _asked(hosts, where, inventory, password, passphrase)
    return top_all(asked.hosts, asked.logins.connect)


def clean(
    hosts: Names = (),
    *,
    older_than: float = _WEEK,
    dry_run: bool = False,
    where: Names = (),
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
) -> tuple[Cleaned, ...]:
    """Remove the logs and records of jobs that have ended; outputs stay.

    Args:
        hosts: Where; none: as for :func:`ps`.
        older_than: Seconds; only jobs that were begun longer ago.
        dry_run: Whether to tell what would go, and to remove nothing.
        where: Of these only those with these labels.
        inventory: As for :func:`mlcube_remote.run`.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file.
    """
    from mlcube_remote.dispatch.clean import clean_old  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    asked = _asked(hosts, where, inventory, password, passphrase)
    return clean_old(
        asked.hosts, asked.logins.connect, store=Store(), older_than=older_than, dry_run=dry_run
    )


@attrs.frozen
class _Asked:
    hosts: tuple[Host, ...]
    logins: Logins


def _asked(
    hosts: Names,
    where: Names,
    inventory: str | os.PathLike[str] | None,
    password: str | None,
    passphrase: str | None,
) -> _Asked:
    found = open_inventory(None if inventory is None else os.fspath(inventory))
    names, labels = arguments.names(hosts), arguments.names(where)
    chosen = select_hosts(found, names, labels) if names or labels else known_hosts(found)
    given = arguments.logins(password, passphrase)
    logins = Logins.ask(found, password=given["ask_password"], passphrase=given["ask_passphrase"])
    return _Asked(chosen, logins)
