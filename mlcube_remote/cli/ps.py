# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote ps`` and ``clean``: list the jobs on hosts, and remove old ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import CredentialPrompts, print_warning
from mlcube_remote.errors import MLCubeRemoteError


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also jobs that have ended.")
@shared.host_label_options
@shared.credential_options
@shared.output_option
def ps(everything: bool, hosts: HostOptions, credentials: CredentialPrompts, output: str) -> int:
    """List the jobs on all hosts, whichever client started them."""
    from mlcube_remote.app.hosts import choose_hosts  # noqa: PLC0415 - not for --help
    from mlcube_remote.jobs.query import query_all  # noqa: PLC0415
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.jobs import jobs_document, jobs_text  # noqa: PLC0415

    chosen = choose_hosts(hosts, credentials, print_warning)
    answers = query_all(chosen.hosts, chosen.logins.connect, everything=everything)
    if output == "json":
        dump(jobs_document(answers), sys.stdout)
    else:
        click.echo(jobs_text(answers))
    return _exit_code(answer.error for answer in answers)


@click.command()
@click.option(
    "--older-than",
    type=shared.Duration(),
    default="7d",
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
    from mlcube_remote.app.hosts import choose_hosts  # noqa: PLC0415 - not for --help
    from mlcube_remote.jobs.clean import clean_old  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415
    from mlcube_remote.ui.tables.jobs import removed_jobs_text  # noqa: PLC0415

    chosen = choose_hosts(hosts, credentials, print_warning)
    done = clean_old(
        chosen.hosts, chosen.logins.connect, store=Store(), older_than=older_than, dry_run=dry_run
    )
    removed = {each.host: each.removed for each in done if each.removed}
    click.echo(removed_jobs_text(removed, dry_run=dry_run))
    for each in done:
        if each.error is not None:
            click.echo(f"error: {each.error}", err=True)
    return _exit_code(each.error for each in done)


def _exit_code(errors: Iterable[MLCubeRemoteError | None]) -> int:
    return max((error.exit_code for error in errors if error is not None), default=0)
