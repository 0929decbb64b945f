# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote ps`` and ``clean``: what hosts have, and what of it may go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.session import Logins, known_hosts, open_inventory, select_hosts
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Host, Inventory

_output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Jobs that have ended, too.")
@shared.host_options
@shared.where_option
@shared.login_options
@_output_option
def ps(everything: bool, output: str, **given: Any) -> int:
    """List the jobs on all hosts, whichever client began them."""
    from mlcube_remote.dispatch.survey import survey_all  # noqa: PLC0415
    from mlcube_remote.ui.tables.jobs import jobs_document, jobs_text  # noqa: PLC0415

    hosts, logins = _asked(given)
    surveys = survey_all(hosts, logins.connect, everything=everything)
    if output == "json":
        from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415

        dump(jobs_document(surveys), sys.stdout)
    else:
        click.echo(jobs_text(surveys))
    return _code([answer.error for answer in surveys])


@click.command()
@click.option(
    "--older-than",
    type=shared.Duration(),
    default="7d",
    show_default=True,
    metavar="TIME",
    help="Only jobs that were begun longer ago.",
)
@click.option("--dry-run", is_flag=True, help="List what would go; remove nothing.")
@shared.host_options
@shared.where_option
@shared.login_options
def clean(older_than: float, dry_run: bool, **given: Any) -> int:
    """Remove the logs and records of jobs that have ended; outputs stay."""
    from mlcube_remote.dispatch.clean import clean_old  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415
    from mlcube_remote.ui.tables.jobs import removed_jobs_text  # noqa: PLC0415

    hosts, logins = _asked(given)
    done = clean_old(hosts, logins.connect, store=Store(), older_than=older_than, dry_run=dry_run)
    removed = {each.host: each.removed for each in done if each.removed}
    click.echo(removed_jobs_text(removed, dry_run=dry_run))
    for each in done:
        if each.error is not None:
            click.echo(f"error: {each.error}", err=True)
    return _code([each.error for each in done])


def _asked(given: dict[str, Any]) -> tuple[tuple[Host, ...], Logins]:
    inventory = open_inventory(given["inventory"])
    hosts = _hosts(inventory, given["hosts"], given["where"])
    logins = Logins.ask(
        inventory, password=given["ask_password"], passphrase=given["ask_passphrase"]
    )
    return hosts, logins


def _hosts(inventory: Inventory, patterns: Sequence[str], where: Sequence[str]) -> tuple[Host, ...]:
    named = patterns or where
    hosts = select_hosts(inventory, patterns, where) if named else known_hosts(inventory)
    if not hosts:
        raise UsageError(
            "no host to ask: there is no inventory, and no run is remembered here",
            hint="name one: --host=NAME",
        )
    return hosts


def _code(errors: Sequence[Any]) -> int:
    return max((error.exit_code for error in errors if error is not None), default=0)
