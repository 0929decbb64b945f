# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote report``: write one HTML file that shows a run."""

from __future__ import annotations

from pathlib import Path

import click

from mlcube_remote import app
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import run_argument, sensible_run
from mlcube_remote.errors import RecordError


@click.command(cls=HelpfulCommand)
@run_argument
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file.  [default: report-RUN.html in the current directory]",
)
@click.option("--open", "opens", is_flag=True, help="Open the report in a browser.")
@output_option
def report(run_text: str | None, path: Path | None, opens: bool, output: str) -> None:
    """Write a report of a run: one HTML file that needs no network and no other file.

    RUN is a run's name, a part of its id, 'last', or the path of its results. Without RUN, the
    command takes the latest run of this machine. No host is asked.

    The report contains the ends of the logs. So only you can read the file, until you change its
    mode.
    """
    from mlcube_remote.runs.atomic import write_atomically  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.report.page import render_report  # noqa: PLC0415

    run_text = run_text or sensible_run()
    index = app.results.find_results(run_text, print_warning)
    attempts = app.results.find_attempts(run_text, print_warning)
    text = render_report(attempts, index)
    path = path or Path(f"report-{index['run']}.html")
    try:
        # A byte that is not UTF-8 was shown as an escape.
        write_atomically(path, text)
    except OSError as problem:
        raise RecordError.not_writable(
            "the report cannot be written", problem, hint="choose another place: --file=PATH"
        ) from problem
    print_value(path, output, document=lambda file: {"path": str(file)}, text=str)
    if opens:
        click.launch(str(path))
