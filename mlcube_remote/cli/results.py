# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote results``: show the results of runs, without asking any host."""

from __future__ import annotations

import sys

import click

from mlcube_remote import app
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option_with_aliases
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import complete_runs


@click.group()
def results() -> None:
    """Show the results of runs."""


@results.command(cls=HelpfulCommand)
@click.argument(
    "run_texts", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs
)
@click.option(
    "--sort", metavar="COLUMN", help="Sort by a column, such as accuracy; -accuracy: largest first."
)
@click.option(
    "--columns",
    metavar="NAMES",
    default="",
    help="Show these columns, commas between; a part of a name is enough if it is unique.",
)
@output_option_with_aliases("json", "csv")
def show(run_texts: tuple[str, ...], output: str, sort: str | None, columns: str) -> None:
    """Show the outcome of each job of runs, and the numbers in its JSON and YAML outputs.

    RUN is a run's name, a part of its id, 'last', or the path of its results.
    """
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.results import results_csv, results_text, sort_jobs  # noqa: PLC0415

    indexes = [app.results.find_results(text, print_warning) for text in run_texts]
    if output == "json":
        sorted_indexes = [{**each, "jobs": sort_jobs(each["jobs"], sort)} for each in indexes]
        is_one = len(sorted_indexes) == 1
        dump(sorted_indexes[0] if is_one else {"runs": sorted_indexes}, sys.stdout)
        return
    # The rows of one run need no column with its id.
    named = [{"run": each["run"]} if len(indexes) > 1 else {} for each in indexes]
    rows = [
        {**job, **run} for run, each in zip(named, indexes, strict=True) for job in each["jobs"]
    ]
    jobs = sort_jobs(rows, sort)
    if output == "csv":
        click.echo(results_csv(jobs), nl=False)
    else:
        names = [name.strip() for name in columns.split(",") if name.strip()]
        click.echo(results_text(jobs, names))


@results.command("list", cls=HelpfulCommand)
@click.option(
    "--best",
    metavar="COLUMN",
    help="Show each run's smallest value of a column, such as loss; -accuracy: the largest.",
)
@output_option_with_aliases("json")
def list_runs(best: str | None, output: str) -> None:
    """List the runs with records on this machine: when, cube, hosts and state."""
    from mlcube_remote.ui.tables.run_list import run_rows, runs_text  # noqa: PLC0415

    rows = run_rows(app.results.list_results(print_warning), best)
    print_value(
        rows,
        output,
        document=lambda found: {"runs": found},
        text=lambda found: runs_text(found, best),
    )
