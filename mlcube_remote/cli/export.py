# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote export``: write a run in the format of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from mlcube_remote import app
from mlcube_remote.cli.output_formats import output_option
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import run_argument


@click.command()
@run_argument
@click.option(
    "--ro-crate",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Write an RO-Crate (Process Run Crate) to this new directory.",
)
@output_option
def export(run_text: str, directory: Path, output: str) -> None:
    """Export a run: what ran, from what, and copies of its outputs.

    RUN is a run's name, a part of its id, 'last', or the path of its results. No host is asked.
    """
    from mlcube_remote.ui.files.ro_crate import write_ro_crate  # noqa: PLC0415 - slow to import

    index = app.results.find_results(run_text, print_warning)
    write_ro_crate(app.results.find_attempts(run_text, print_warning), index, directory)
    print_value(directory, output, document=lambda crate: {"path": str(crate)}, text=str)
