# SPDX-License-Identifier: Apache-2.0
"""Check hosts, read their usage, and remove ended jobs and old mirrors from them.

A host that gives no answer has an ``error``; it raises no exception.
"""

from __future__ import annotations

from mlcube_remote.app.hosts import ChosenHosts
from mlcube_remote.cube import system_settings
from mlcube_remote.facts import check
from mlcube_remote.facts.check import check_all
from mlcube_remote.facts.check_result import HostCheck
from mlcube_remote.facts.usage import HostUsage, read_usage_of_all
from mlcube_remote.jobs.clean import Cleaned, clean_old
from mlcube_remote.jobs.clean_mirrors import CleanedMirrors, MirrorRules
from mlcube_remote.jobs.clean_mirrors import clean_mirrors as clean_mirrors_of_all
from mlcube_remote.jobs.disk import HostDisk, read_disk_of_all
from mlcube_remote.runs.store import Store


def check_hosts(
    chosen: ChosenHosts, platform: str | None, *, runs_job: bool = False
) -> tuple[HostCheck, ...]:
    """Check whether runs would work on hosts.

    Args:
        chosen: The hosts.
        platform: The engine to check; ``None``: the host's default.
        runs_job: Whether to run a short job on a compute node of each Slurm cluster.
    """
    return check_all(
        chosen.hosts,
        chosen.logins.connect,
        platform=platform,
        system=system_settings.load(),
        runs_job=runs_job,
    )


def check_this_machine() -> HostCheck:
    """Check the programs of this machine, whatever the hosts are."""
    return check.check_client()


def check_client(chosen: ChosenHosts) -> HostCheck | None:
    """Check this machine; ``None`` if it needs nothing, because it is the only host."""
    return None if all(host.is_local for host in chosen.hosts) else check.check_client()


def read_usage(chosen: ChosenHosts) -> tuple[HostUsage, ...]:
    """Return the usage of hosts."""
    return read_usage_of_all(chosen.hosts, chosen.logins.connect)


def clean_jobs(
    chosen: ChosenHosts, *, older_than: float, with_outputs: bool, dry_run: bool
) -> tuple[Cleaned, ...]:
    """Remove the logs and records of ended jobs from hosts, and from this machine.

    Args:
        chosen: The hosts.
        older_than: Minimum age of a job in seconds.
        with_outputs: Whether to remove also jobs whose outputs were not pulled.
        dry_run: Whether to report what would be removed, and remove nothing.
    """
    return clean_old(
        chosen.hosts,
        chosen.logins.connect,
        store=Store(),
        older_than=older_than,
        with_outputs=with_outputs,
        dry_run=dry_run,
    )


def read_disk(chosen: ChosenHosts) -> tuple[HostDisk, ...]:
    """Return what hosts store for cubes and jobs."""
    return read_disk_of_all(chosen.hosts, chosen.logins.connect, Store())


def clean_mirrors(
    chosen: ChosenHosts, rules: MirrorRules, *, dry_run: bool
) -> tuple[CleanedMirrors, ...]:
    """Remove from hosts what no job has used for some time.

    Args:
        chosen: The hosts.
        rules: What to remove.
        dry_run: Whether to report what would be removed, and remove nothing.
    """
    return clean_mirrors_of_all(
        chosen.hosts, chosen.logins.connect, Store(), rules, dry_run=dry_run
    )
