# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote results``: show the results of runs, without asking any host."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mlcube_remote import app
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option_with_aliases
from mlcube_remote.cli.printing import print_value, print_warning, terminal_width
from mlcube_remote.cli.run_argument import complete_runs, sensible_run
from mlcube_remote.errors import UsageError

_WATCH_INTERVAL_S = 2.0


@click.group()
def results() -> None:
    """Show the results of runs."""


@results.command(cls=HelpfulCommand)
@click.argument("run_texts", metavar="[RUN]...", nargs=-1, shell_complete=complete_runs)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by a column, such as loss: smallest first; -accuracy: largest first.",
)
@click.option(
    "--columns",
    metavar="NAMES",
    default="",
    help="Show these columns, separated by commas; a part of a name is enough if it is unique.",
)
@click.option("--watch", is_flag=True, help="Show the table again every two seconds, until Ctrl-C.")
@output_option_with_aliases("json", "csv")
def show(
    run_texts: tuple[str, ...], output: str, sort: str | None, columns: str, watch: bool
) -> None:
    """Show how the jobs of runs ended, and the numbers in their outputs.

    The numbers are those in JSON and YAML files.

    RUN is a run's name, a part of its id, 'last', or the path of its results. Without RUN, the
    command takes the latest run of this machine.
    """
    if watch and output != "text":
        raise UsageError(
            f"--watch and --output={output} cannot be combined", hint="omit one of them"
        )
    run_texts = run_texts or (sensible_run(),)
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if watch:
        from mlcube_remote.ui.progress.screen import show_repeatedly  # noqa: PLC0415 - slow to import

        show_repeatedly(
            lambda: _table(run_texts, sort, names), sys.stdout, interval=_WATCH_INTERVAL_S
        )
    elif output == "text":
        click.echo(_table(run_texts, sort, names))
    else:
        _export(run_texts, sort, output)


def _table(run_texts: Sequence[str], sort: str | None, names: Sequence[str]) -> str:
    from mlcube_remote.ui.tables.results import results_text, sort_jobs  # noqa: PLC0415 - slow to import

    rows = _rows(_find(run_texts))
    return results_text(sort_jobs(rows, sort), names, sort)


def _find(run_texts: Sequence[str]) -> list[dict[str, Any]]:
    return [app.results.find_results(text, print_warning) for text in run_texts]


def _rows(indexes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the jobs of runs; the rows of one run need no column with its id."""
    named = [{"run": each["run"]} if len(indexes) > 1 else {} for each in indexes]
    return [
        {**job, **run} for run, each in zip(named, indexes, strict=True) for job in each["jobs"]
    ]


def _export(run_texts: Sequence[str], sort: str | None, output: str) -> None:
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.results import results_csv, sort_jobs  # noqa: PLC0415

    indexes = _find(run_texts)
    if output == "csv":
        click.echo(results_csv(sort_jobs(_rows(indexes), sort)), nl=False)
        return
    sorted_indexes = [{**each, "jobs": sort_jobs(each["jobs"], sort)} for each in indexes]
    dump(sorted_indexes[0] if len(indexes) == 1 else {"runs": sorted_indexes}, sys.stdout)


@results.command("list", cls=HelpfulCommand)
@click.option(
    "--best",
    metavar="COLUMN",
    help="Show each run's smallest value of a column, such as loss; -accuracy: the largest.",
)
@output_option_with_aliases("json")
def list_runs(best: str | None, output: str) -> None:
    """List the runs of this machine: name, when, cube, hosts and state."""
    from mlcube_remote.ui.tables import run_list  # noqa: PLC0415

    indexes = app.results.list_results(print_warning)
    if best is not None and (problem := run_list.best_problem(indexes, best)):
        print_warning(problem)
    rows = run_list.run_rows(indexes, best, app.results.run_names(indexes))
    print_value(
        rows,
        output,
        document=lambda found: {"runs": found},
        text=lambda found: run_list.runs_text(found, best, width=terminal_width(sys.stdout)),
    )
