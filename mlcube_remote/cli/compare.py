# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote verify`` and ``diff``: compare results with their records, and runs with runs."""

from __future__ import annotations

import attrs
import click

from mlcube_remote import app
from mlcube_remote.cli.output_formats import output_option_with_aliases
from mlcube_remote.cli.printing import print_value, print_warning
from mlcube_remote.cli.run_argument import complete_runs, run_argument

DIFFERENT = 1
"""Exit code if something differs, as that of diff(1)."""

_output_option = output_option_with_aliases("json")


@click.command()
@run_argument
@_output_option
def verify(run_text: str, output: str) -> int:
    """Read the outputs, inputs and cube of a run again, and compare them with its record.

    RUN is a run's name, a part of its id, 'last', or the path of its results. No host is asked.
    The exit code is 1 if anything has changed, is missing or was added.
    """
    from mlcube_remote.files.verify import Verdict  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.comparison import findings_text  # noqa: PLC0415

    findings = app.results.verify_results(run_text, print_warning)
    print_value(
        findings,
        output,
        document=lambda items: {
            "findings": [{**attrs.asdict(item), "verdict": item.verdict.value} for item in items]
        },
        text=findings_text,
    )
    return 0 if all(item.verdict is Verdict.SAME for item in findings) else DIFFERENT


@click.command()
@click.argument("first", metavar="RUN", shell_complete=complete_runs)
@click.argument("second", metavar="RUN", shell_complete=complete_runs)
@_output_option
def diff(first: str, second: str, output: str) -> int:
    """Show what differs between two runs: cube, inputs, image, settings, host, outputs.

    RUN is a run's name, a part of its id, 'last', or the path of its results. The exit code is 1
    if anything differs.
    """
    from mlcube_remote.ui.tables.comparison import differences_text  # noqa: PLC0415

    found = app.results.compare_results(first, second, print_warning)
    print_value(
        found,
        output,
        document=lambda items: {"differences": [attrs.asdict(item) for item in items]},
        text=differences_text,
    )
    return DIFFERENT if found else 0
