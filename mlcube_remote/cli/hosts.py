# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote hosts``: show the inventory, and check that it works."""

from __future__ import annotations

import sys

import attrs
import click

from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import CredentialPrompts, print_warning


@click.group()
def hosts() -> None:
    """List, show and check the hosts of the inventory."""


@hosts.command("list")
@shared.inventory_option
@shared.output_option
def list_hosts(inventory: str | None, output: str) -> None:
    """List hosts and groups."""
    from mlcube_remote.app.hosts import open_inventory  # noqa: PLC0415 - not for --help
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.hosts import hosts_document, hosts_text  # noqa: PLC0415

    found = open_inventory(inventory)
    if output == "json":
        dump(hosts_document(found), sys.stdout)
    else:
        click.echo(hosts_text(found))


@hosts.command("show")
@shared.hosts_argument(required=True)
@shared.inventory_option
@shared.output_option
def show_hosts(named: tuple[str, ...], inventory: str | None, output: str) -> None:
    """Show the settings of hosts: from the inventory, and from ~/.ssh/config."""
    from mlcube_remote.app.hosts import open_inventory, select_hosts  # noqa: PLC0415
    from mlcube_remote.inventory.sshconfig import resolve  # noqa: PLC0415
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.hosts import host_document, host_text  # noqa: PLC0415

    found = open_inventory(inventory)
    chosen = select_hosts(found, named)
    shown = [(host, None if host.is_local else resolve(host, found)) for host in chosen]
    if output == "json":
        dump({"hosts": [host_document(*item) for item in shown]}, sys.stdout)
    else:
        click.echo("\n\n".join(host_text(*item) for item in shown))


@hosts.command("check")
@shared.hosts_argument()
@shared.host_label_options
@shared.platform_option("The engine to check  [default: the host's]")
@shared.credential_options
@shared.output_option
def check_hosts(
    named: tuple[str, ...],
    hosts: HostOptions,
    platform: str | None,
    credentials: CredentialPrompts,
    output: str,
) -> int:
    """Check that runs would work: login, host key, rsync, engine, permission, disk."""
    from mlcube_remote.app.hosts import choose_hosts  # noqa: PLC0415 - not for --help
    from mlcube_remote.cube import system  # noqa: PLC0415
    from mlcube_remote.facts.check import check_all  # noqa: PLC0415
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.hosts import checks_document, checks_text  # noqa: PLC0415

    chosen = choose_hosts(_with(hosts, named), credentials, print_warning, default="all")
    checks = check_all(chosen.hosts, chosen.logins.connect, platform=platform, system=system.load())
    if output == "json":
        dump(checks_document(checks), sys.stdout)
    else:
        click.echo(checks_text(checks))
    return max((check.exit_code for check in checks), default=0)


@hosts.command("top")
@shared.hosts_argument()
@shared.host_label_options
@shared.credential_options
@shared.output_option
def top_hosts(
    named: tuple[str, ...], hosts: HostOptions, credentials: CredentialPrompts, output: str
) -> int:
    """Show the usage of hosts: load, memory, disk, GPUs and who uses them."""
    from mlcube_remote.app.hosts import choose_hosts  # noqa: PLC0415 - not for --help
    from mlcube_remote.facts.usage import read_usage_of_all  # noqa: PLC0415
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.usage import usage_document, usage_text  # noqa: PLC0415

    chosen = choose_hosts(_with(hosts, named), credentials, print_warning, default="all")
    usage = read_usage_of_all(chosen.hosts, chosen.logins.connect)
    if output == "json":
        dump(usage_document(usage), sys.stdout)
    else:
        click.echo(usage_text(usage))
    return max((host.error.exit_code for host in usage if host.error is not None), default=0)


def _with(hosts: HostOptions, named: tuple[str, ...]) -> HostOptions:
    """Add the hosts that are named without an option."""
    return attrs.evolve(hosts, names=(*named, *hosts.names))
