# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote hosts``: show the inventory, and check that it works."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.completers import complete_reached_hosts
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.new_host import add_host
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import (
    print_value,
    print_warning,
    terminal_width,
    worst_exit_code,
)
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.app.hosts import ChosenHosts
    from mlcube_remote.facts.check_result import HostCheck


@click.group()
def hosts() -> None:
    """Add, list, check and watch hosts."""


hosts.add_command(add_host)


@hosts.command("list", cls=HelpfulCommand)
@shared.inventory_option
@output_option
def list_hosts(inventory: str | None, output: str) -> None:
    """List hosts and groups, and who is logged in.

    The logins are those that mlcube-remote login keeps.
    """
    from mlcube_remote.ui.tables.hosts import hosts_document, hosts_text  # noqa: PLC0415 - slow to import

    found = app.inventory.open_inventory(inventory)
    for note in found.notes:
        print_warning(note)
    logins = app.kept_logins.list_logins()
    print_value(
        found,
        output,
        document=partial(hosts_document, logins=logins),
        text=partial(hosts_text, logins=logins, width=terminal_width(sys.stdout)),
    )


@hosts.command("show", cls=HelpfulCommand)
@shared.hosts_argument(required=True)
@shared.inventory_option
@output_option
def show_hosts(named: tuple[str, ...], inventory: str | None, output: str) -> None:
    """Show all settings of hosts.

    They come from the inventory, and from the configuration of ssh.
    """
    from mlcube_remote.ui.tables.hosts import host_document, host_text  # noqa: PLC0415 - slow to import

    print_value(
        app.inventory.resolve_hosts(HostOptions(names=named, inventory=inventory)),
        output,
        document=lambda found: {"hosts": [host_document(*item) for item in found]},
        text=lambda found: "\n\n".join(host_text(*item) for item in found),
    )


@hosts.command("check", cls=HelpfulCommand)
@shared.hosts_argument()
@shared.host_label_options
@shared.platform_option("The engine to check  [default: the host's]")
@click.option(
    "--job",
    "runs_job",
    is_flag=True,
    help="Also run a job of a few seconds on a compute node of each Slurm cluster.",
)
@shared.credential_options
@output_option
def check_hosts(
    named: tuple[str, ...],
    hosts: HostOptions,
    platform: str | None,
    runs_job: bool,
    credentials: CredentialPrompts,
    output: str,
) -> int:
    """Check this machine and hosts before a run.

    It checks the login, programs, the engine and its permission, GPUs, and the disk.
    """
    from mlcube_remote.ui.tables.hosts import checks_document, checks_text  # noqa: PLC0415 - slow

    checks: tuple[HostCheck, ...] = ()
    client: HostCheck | None = None
    if named or hosts.names or hosts.where or _has_inventory(hosts):
        chosen = _choose(named, hosts, credentials)
        checks = app.host_queries.check_hosts(chosen, platform, runs_job=runs_job)
        client = app.host_queries.check_client(chosen)
    else:
        client = app.host_queries.check_this_machine()
    print_value(
        checks,
        output,
        document=partial(checks_document, client=client),
        text=partial(checks_text, client=client),
    )
    every = checks if client is None else (client, *checks)
    code = max((check.exit_code for check in every), default=0)
    return code if checks else max(code, _report_no_host())


def _has_inventory(hosts: HostOptions) -> bool:
    return app.inventory.open_inventory(hosts.inventory).path is not None


def _report_no_host() -> int:
    """Print that only this machine was checked, and return the exit code."""
    from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - only on an error

    error = UsageError(
        "no host was checked: there is no inventory, and none is named",
        hint="name one that ssh knows: mlcube-remote hosts check NAME; "
        "or add one: mlcube-remote hosts add NAME USER@ADDRESS",
    )
    print_error(error, sys.stderr)
    return error.exit_code


@hosts.command("top", cls=HelpfulCommand)
@shared.hosts_argument()
@shared.host_label_options
@shared.credential_options
@output_option
def top_hosts(
    named: tuple[str, ...], hosts: HostOptions, credentials: CredentialPrompts, output: str
) -> int:
    """Show load, memory, disk and GPUs of hosts, and who uses them."""
    from mlcube_remote.ui.tables.usage import usage_document, usage_text  # noqa: PLC0415 - slow to import

    usage = app.host_queries.read_usage(_choose(named, hosts, credentials))
    text = partial(usage_text, width=terminal_width(sys.stdout))
    print_value(usage, output, document=usage_document, text=text)
    return worst_exit_code(host.error for host in usage)


@hosts.command("disk", cls=HelpfulCommand)
@shared.hosts_argument()
@shared.host_label_options
@shared.credential_options
@output_option
def disk_of_hosts(
    named: tuple[str, ...], hosts: HostOptions, credentials: CredentialPrompts, output: str
) -> int:
    """Show how much disk space cubes, data, jobs and images use on hosts.

    The table shows when each was last used. To remove what is no longer used:
    mlcube-remote clean --cubes --images.
    """
    from mlcube_remote.ui.tables.disk import disk_document, disk_text  # noqa: PLC0415 - slow to import

    disk = app.host_queries.read_disk(_choose(named, hosts, credentials))
    text = partial(disk_text, width=terminal_width(sys.stdout))
    print_value(disk, output, document=disk_document, text=text)
    return worst_exit_code(host.error for host in disk)


@hosts.command("forget", cls=HelpfulCommand)
@click.argument("name", metavar="HOST", shell_complete=complete_reached_hosts)
@shared.inventory_option
@output_option
def forget_host(name: str, inventory: str | None, output: str) -> None:
    """No longer ask a host of earlier runs for its jobs.

    Its runs stay recorded. If a new run uses the host, it is asked again.
    """
    app.known_hosts.forget_host(name, inventory, print_warning)
    print_value(
        name,
        output,
        document=lambda host: {"forgotten": host},
        text=lambda host: f"{host} is no longer asked; if a new run uses it, it is asked again",
    )


def _choose(
    named: tuple[str, ...], hosts: HostOptions, credentials: CredentialPrompts
) -> ChosenHosts:
    """Return the hosts that are named with or without an option; by default all."""
    names = (*named, *hosts.names) or ("all",)
    return app.hosts.choose_hosts(attrs.evolve(hosts, names=names), credentials, print_warning)
