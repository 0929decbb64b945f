# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote login`` and ``logout``: log in once, for later commands."""

from __future__ import annotations

import sys

import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.parameter_types import Duration
from mlcube_remote.cli.printing import worst_exit_code
from mlcube_remote.formatting import readable_duration


@click.command()
@shared.hosts_argument(required=True)
@click.option(
    "--for",
    "idle",
    type=Duration(),
    default="8h",
    show_default=True,
    metavar="TIME",
    help="End the login when it has not been used for this time.",
)
@shared.inventory_option
@shared.credential_options
def login(
    named: tuple[str, ...], idle: float, inventory: str | None, credentials: CredentialPrompts
) -> int:
    """Log in to hosts once; later commands use these connections, and ask nothing."""
    from mlcube_remote.transport.kept_logins import format_time  # noqa: PLC0415 - not for --help
    from mlcube_remote.ui.errors import print_error  # noqa: PLC0415

    options = HostOptions(names=named, inventory=inventory)
    errors = []
    for result in app.kept_logins.log_in(options, credentials, idle):
        if result.error is not None:
            errors.append(result.error)
            print_error(result.error, sys.stderr)
        elif result.login is not None:
            kept = readable_duration(round(result.login.idle_s))
            state = "logged in" if result.is_new else "is logged in already"
            until = format_time(result.login.until)
            click.echo(
                f"{result.host}: {state} as {result.login.address}, until {until} "
                f"(each use adds {kept})"
            )
    return worst_exit_code(errors)


@click.command()
@shared.hosts_argument()
@shared.inventory_option
def logout(named: tuple[str, ...], inventory: str | None) -> None:
    """End the logins to hosts, or all of them; jobs on the hosts continue."""
    results = app.kept_logins.log_out(HostOptions(names=named, inventory=inventory))
    for result in results:
        click.echo(f"{result.host}: {'logged out' if result.login else 'is not logged in'}")
    if not results:
        click.echo("no host is logged in")
