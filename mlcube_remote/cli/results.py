# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote results``: show the results of a run, without asking any host."""

from __future__ import annotations

import sys

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import print_warning


@click.group()
def results() -> None:
    """Show the results of runs."""


@results.command()
@shared.run_argument
@click.option("--csv", "form", flag_value="csv", help="For spreadsheets.")
@click.option("--json", "form", flag_value="json", help="For programs: all that is recorded.")
@click.option(
    "--sort", metavar="COLUMN", help="Sort by a column, such as accuracy; -accuracy: largest first."
)
def show(run_text: str, form: str | None, sort: str | None) -> None:
    """Show the outcome of each job of a run, and the numbers in its JSON and YAML outputs.

    RUN is a run's id, or enough of its start or end, or the path of its results.
    """
    from mlcube_remote.app.results import find_results  # noqa: PLC0415 - not for --help
    from mlcube_remote.ui.tables.results import results_csv, results_text, sort_jobs  # noqa: PLC0415

    index = find_results(run_text, print_warning)
    jobs = sort_jobs(index["jobs"], sort)
    if form == "json":
        from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415

        dump({**index, "jobs": jobs}, sys.stdout)
    elif form == "csv":
        click.echo(results_csv(jobs), nl=False)
    else:
        click.echo(results_text(jobs))
