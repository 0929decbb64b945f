# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote ps`` and ``clean``: list the jobs on hosts, and remove old ones."""

from __future__ import annotations

import click

from mlcube_remote import app
from mlcube_remote.app.options import DEFAULT_CLEAN_AGE_S, HostOptions
from mlcube_remote.cli import display_options as screen
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.parameter_types import Duration
from mlcube_remote.cli.printing import print_value, print_warning, worst_exit_code


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also jobs that have ended.")
@shared.host_label_options
@shared.credential_options
@screen.output_option
def ps(everything: bool, hosts: HostOptions, credentials: CredentialPrompts, output: str) -> int:
    """List the jobs on all hosts, whichever client started them."""
    from mlcube_remote.ui.tables.jobs import jobs_document, jobs_text  # noqa: PLC0415 - slow to import

    chosen = app.hosts.choose_hosts(hosts, credentials, print_warning, needs_host=True)
    answers = app.hosts.list_jobs(chosen, everything=everything)
    print_value(answers, output, document=jobs_document, text=jobs_text)
    return worst_exit_code(answer.error for answer in answers)


@click.command()
@click.option(
    "--older-than",
    type=Duration(),
    default=f"{DEFAULT_CLEAN_AGE_S / 86_400:.0f}d",
    show_default=True,
    metavar="TIME",
    help="Only jobs that were started longer ago.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@shared.host_label_options
@shared.credential_options
def clean(
    older_than: float, dry_run: bool, hosts: HostOptions, credentials: CredentialPrompts
) -> int:
    """Remove the logs and records of ended jobs; outputs stay."""
    from mlcube_remote.ui.tables.jobs import removed_jobs_text  # noqa: PLC0415 - slow to import

    chosen = app.hosts.choose_hosts(hosts, credentials, print_warning, needs_host=True)
    done = app.host_queries.clean_jobs(chosen, older_than=older_than, dry_run=dry_run)
    removed = {each.host: each.removed for each in done if each.removed}
    click.echo(removed_jobs_text(removed, dry_run=dry_run))
    for each in done:
        if each.error is not None:
            click.echo(f"error: {each.error}", err=True)
    return worst_exit_code(each.error for each in done)
