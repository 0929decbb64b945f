# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote rerun``: run jobs of an earlier run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlcube_remote.app.options import StartOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import (
    CredentialPrompts,
    Display,
    Following,
    ReportPaths,
    print_warning,
)
from mlcube_remote.cli.run import print_dry_run, run_jobs
from mlcube_remote.errors import StateUnknownError

if TYPE_CHECKING:  # --help needs none of these
    from mlcube_remote.app.rerun import RerunChoice


@click.command()
@shared.run_argument
@click.option("--failed", is_flag=True, help="Only jobs that did not succeed.")
@click.option(
    "--host",
    "-H",
    "only_hosts",
    multiple=True,
    metavar="HOSTS",
    help="Only jobs on these hosts of the run: names and ranges, commas between.",
)
@click.option(
    "--gone",
    multiple=True,
    metavar="HOSTS",
    help="Treat jobs on these hosts as lost: the hosts are gone for good.",
)
@shared.rerun_retry_options
@shared.start_options
@shared.gather_option
@shared.follow_options
@shared.credential_options
@shared.report_options
@shared.display_options
def rerun(
    run_text: str,
    failed: bool,
    only_hosts: tuple[str, ...],
    gone: tuple[str, ...],
    retries: int | None,
    retry_on: tuple[str, ...],
    start: StartOptions,
    dry_run: bool,
    gather: bool,
    following: Following,
    credentials: CredentialPrompts,
    reports: ReportPaths,
    display: Display,
) -> int:
    """Run jobs of a run again, with the arguments that it was started with.

    RUN is a run's id, or enough of its start or end. New outputs replace the old ones in the same
    directory of results. Jobs that may still be running are skipped.
    """
    from mlcube_remote.app.rerun import choose_jobs  # noqa: PLC0415 - not for --help

    choice = choose_jobs(run_text, failed=failed, hosts=only_hosts, gone=gone, warn=print_warning)
    options = choice.options(
        start,
        reconnect_timeout=following.reconnect_timeout,
        retries=retries,
        retry_on=retry_on,
    )
    _print_skipped(choice)
    if not choice.selection.attempts:
        click.echo("no job to run again", err=True)
        skipped = choice.selection.possibly_running or choice.selection.unassigned
        return StateUnknownError.exit_code if skipped else 0
    with choice.in_recorded_folder():
        if dry_run:
            return print_dry_run(options, display)
        return run_jobs(
            options,
            credentials,
            display,
            reports=reports,
            on_interrupt=following.on_interrupt,
            gather=gather,
        )


def _print_skipped(choice: RerunChoice) -> None:
    """Print which jobs are not run again, and what the user can do."""
    from mlcube_remote.ui.tables.next_steps import shorten_names  # noqa: PLC0415 - not for --help

    for name in choice.selection.possibly_running:
        click.echo(f"not started again: {name} may still be running", err=True)
    if choice.selection.possibly_running:
        click.echo(f"  follow it:  mlcube-remote attach {choice.run_id}", err=True)
        click.echo("  if its host is gone for good:  the same command with --gone=HOST", err=True)
    if choice.selection.unassigned:
        names = shorten_names(choice.selection.unassigned)
        click.echo(f"not started again: {names} still queued by another client", err=True)
        click.echo(
            f"  if that client is gone:  the same command with --run-id={choice.run_id}", err=True
        )
