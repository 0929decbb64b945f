# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote login`` and ``logout``: log in once, for later commands."""

from __future__ import annotations

import sys

import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.parameter_types import Duration
from mlcube_remote.cli.printing import print_value, print_warning, worst_exit_code


@click.command(cls=HelpfulCommand)
@shared.hosts_argument(required=True)
@click.option(
    "--for",
    "idle",
    type=Duration(),
    default="8h",
    show_default=True,
    metavar="TIME",
    help="End the login if it is not used for this time.",
)
@shared.inventory_option
@shared.credential_options
@output_option
def login(
    named: tuple[str, ...],
    idle: float,
    inventory: str | None,
    credentials: CredentialPrompts,
    output: str,
) -> int:
    """Log in to hosts once; later commands use these connections, and ask nothing."""
    from mlcube_remote.ui.errors import print_error  # noqa: PLC0415 - not for --help
    from mlcube_remote.ui.tables.logins import login_text, logins_document  # noqa: PLC0415

    options = HostOptions(names=named, inventory=inventory)
    results = []
    for result in app.kept_logins.log_in(options, credentials, idle):
        results.append(result)
        if result.error is not None:
            print_error(result.error, sys.stderr)
        elif output == "text" and result.login is not None:
            click.echo(login_text(result.host, result.login, is_new=result.is_new))
            if not result.is_new and _asks_for_other_time(idle, result.login.idle_s):
                again = f"mlcube-remote logout {result.host}, then log in again"
                print_warning(f"{result.host}: --for applies to new logins; to change it: {again}")
    if output == "json":
        rows = [(each.host, each.login, each.error) for each in results]
        print_value(rows, output, document=logins_document, text=str)
    return worst_exit_code(result.error for result in results)


def _asks_for_other_time(idle: float, kept: float) -> bool:
    """Return whether the user named a time that is not that of a login which is kept."""
    source = click.get_current_context().get_parameter_source("idle")
    return source is not click.core.ParameterSource.DEFAULT and round(idle) != round(kept)


@click.command(cls=HelpfulCommand)
@shared.hosts_argument()
@shared.inventory_option
@output_option
def logout(named: tuple[str, ...], inventory: str | None, output: str) -> None:
    """End the logins to hosts (without HOSTS: all logins); jobs on the hosts continue."""
    results = app.kept_logins.log_out(HostOptions(names=named, inventory=inventory))
    lines = [
        f"{each.host}: {'logged out' if each.login else 'is not logged in'}" for each in results
    ]
    print_value(
        results,
        output,
        document=lambda found: {
            "hosts": [{"host": each.host, "ended": each.login is not None} for each in found]
        },
        text=lambda _: "\n".join(lines or ["no host is logged in"]),
    )
