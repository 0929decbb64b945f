# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote export``: write a run in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import click

from mlcube_remote import app
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import run_argument, sensible_run
from mlcube_remote.errors import UsageError


@click.command(cls=HelpfulCommand)
@run_argument
@click.option(
    "--ro-crate",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Write an RO-Crate (Process Run Crate) to this new directory.",
)
@click.option(
    "--mlflow",
    "uri",
    metavar="URI",
    help="Log each job to this tracking URI of MLflow, such as http://127.0.0.1:5000.",
)
@output_option
def export(run_text: str | None, directory: Path | None, uri: str | None, output: str) -> None:
    """Export a run: what ran, from what, with which results.

    RUN is a run's name, a part of its id, 'last', or the path of its results. Without RUN, the
    command takes the latest run of this machine. No host is asked.
    """
    if directory is None and uri is None:
        raise UsageError("expected --ro-crate=DIRECTORY or --mlflow=URI")
    run_text = run_text or sensible_run()
    index = app.results.find_results(run_text, print_warning)
    attempts = app.results.find_attempts(run_text, print_warning)
    document: dict[str, Any] = {}
    lines = []
    if directory is not None:
        from mlcube_remote.ui.files.ro_crate import write_ro_crate  # noqa: PLC0415 - slow to import

        write_ro_crate(attempts, index, directory)
        document["path"] = str(directory)
        lines.append(str(directory))
    if uri is not None:
        from mlcube_remote.ui.files.mlflow_runs import log_to_mlflow  # noqa: PLC0415 - likewise

        logged = log_to_mlflow(attempts, index, uri)
        document["mlflow"] = attrs.asdict(logged)
        known = f"; {logged.known} known before" if logged.known else ""
        lines.append(f"experiment {logged.experiment}: {logged.new} new{known}")
    print_value(document, output, document=dict, text=lambda _: "\n".join(lines))
