# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote results``: show the results of a run, without asking any host."""

from __future__ import annotations

import click

from mlcube_remote import app
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import run_argument


@click.group()
def results() -> None:
    """Show the results of runs."""


@results.command()
@run_argument
@click.option("--csv", "output", flag_value="csv", help="For spreadsheets.")
@click.option("--json", "output", flag_value="json", help="For programs: all that is recorded.")
@click.option(
    "--sort", metavar="COLUMN", help="Sort by a column, such as accuracy; -accuracy: largest first."
)
def show(run_text: str, output: str | None, sort: str | None) -> None:
    """Show the outcome of each job of a run, and the numbers in its JSON and YAML outputs.

    RUN is a run's id, or enough of its start or end, or the path of its results.
    """
    from mlcube_remote.ui.tables.results import results_csv, results_text, sort_jobs  # noqa: PLC0415 - slow

    index = app.results.find_results(run_text, print_warning)
    jobs = sort_jobs(index["jobs"], sort)
    if output == "csv":
        click.echo(results_csv(jobs), nl=False)
    else:
        print_value(
            jobs,
            output or "text",
            document=lambda found: {**index, "jobs": found},
            text=results_text,
        )
