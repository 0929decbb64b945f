# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote hosts``: what the inventory says, and whether it is true."""

from __future__ import annotations

import sys
from typing import Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.session import Logins, open_inventory, select_hosts


@click.group()
def hosts() -> None:
    """List, show and check the hosts of the inventory."""


_output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)


@hosts.command("list")
@shared.inventory_option
@_output_option
def list_hosts(inventory: str | None, output: str) -> None:
    """List hosts and groups."""
    from mlcube_remote.ui.hosts import hosts_document, hosts_text  # noqa: PLC0415

    found = open_inventory(inventory)
    if output == "json":
        from mlcube_remote.ui.document import dump  # noqa: PLC0415

        dump(hosts_document(found), sys.stdout)
    else:
        click.echo(hosts_text(found))


@hosts.command("show")
@shared.hosts_argument(required=True)
@shared.inventory_option
@_output_option
def show_hosts(names: tuple[str, ...], inventory: str | None, output: str) -> None:
    """Show everything about hosts: what the inventory says, and how they would be reached."""
    from mlcube_remote.inventory.sshconfig import resolve  # noqa: PLC0415
    from mlcube_remote.ui.hosts import host_document, host_text  # noqa: PLC0415

    found = open_inventory(inventory)
    chosen = select_hosts(found, names)
    shown = [(host, None if host.is_local else resolve(host, found)) for host in chosen]
    if output == "json":
        from mlcube_remote.ui.document import dump  # noqa: PLC0415

        dump({"hosts": [host_document(*item) for item in shown]}, sys.stdout)
    else:
        click.echo("\n\n".join(host_text(*item) for item in shown))


@hosts.command("check")
@shared.hosts_argument()
@shared.host_options
@shared.where_option
@shared.platform_option("The engine to ask for  [default: the host's]")
@shared.login_options
@_output_option
def check_hosts(
    names: tuple[str, ...], hosts: tuple[str, ...], inventory: str | None, **given: Any
) -> int:
    """Check that runs would work: login, host key, rsync, engine, permission, disk."""
    from mlcube_remote.cube import system_settings  # noqa: PLC0415
    from mlcube_remote.dispatch.checkup import check_all  # noqa: PLC0415
    from mlcube_remote.ui.hosts import checkup_document, checkup_text  # noqa: PLC0415

    found = open_inventory(inventory)
    chosen = select_hosts(found, (*names, *hosts) or ("all",), given["where"])
    logins = Logins.ask(found, password=given["ask_password"], passphrase=given["ask_passphrase"])
    checkups = check_all(
        chosen, logins.connect, platform=given["platform"], system=system_settings.load()
    )
    if given["output"] == "json":
        from mlcube_remote.ui.document import dump  # noqa: PLC0415

        dump(checkup_document(checkups), sys.stdout)
    else:
        click.echo(checkup_text(checkups))
    return max((checkup.exit_code for checkup in checkups), default=0)


@hosts.command("top")
@shared.hosts_argument()
@shared.host_options
@shared.where_option
@shared.login_options
@_output_option
def top_hosts(
    names: tuple[str, ...], hosts: tuple[str, ...], inventory: str | None, **given: Any
) -> int:
    """Show how busy hosts are: load, memory, disk, GPUs and who has them."""
    from mlcube_remote.dispatch.top import top_all  # noqa: PLC0415
    from mlcube_remote.ui.top import top_document, top_text  # noqa: PLC0415

    found = open_inventory(inventory)
    chosen = select_hosts(found, (*names, *hosts) or ("all",), given["where"])
    logins = Logins.ask(found, password=given["ask_password"], passphrase=given["ask_passphrase"])
    told = top_all(chosen, logins.connect)
    if given["output"] == "json":
        from mlcube_remote.ui.document import dump  # noqa: PLC0415

        dump(top_document(told), sys.stdout)
    else:
        click.echo(top_text(told))
    return max((host.error.exit_code for host in told if host.error is not None), default=0)
