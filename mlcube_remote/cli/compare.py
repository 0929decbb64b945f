# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote verify`` and ``diff``: compare results with their records, and runs with runs."""

from __future__ import annotations

import sys

import attrs
import click

from mlcube_remote import app
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run_argument import complete_runs, run_argument

DIFFERENT = 1
"""Exit code if something differs, as that of diff(1)."""

_json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command()
@run_argument
@_json_option
def verify(run_text: str, as_json: bool) -> int:
    """Read the outputs, inputs and cube of a run again, and compare them with its record.

    RUN is a run's id, or enough of its start or end, or the path of its results. No host is asked.
    The exit code is 1 if anything has changed, is missing or was added.
    """
    from mlcube_remote.files.verify import Verdict  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415
    from mlcube_remote.ui.tables.comparison import findings_text  # noqa: PLC0415

    findings = app.results.verify_results(run_text, print_warning)
    if as_json:
        rows = [{**attrs.asdict(item), "verdict": item.verdict.value} for item in findings]
        dump({"findings": rows}, sys.stdout)
    else:
        click.echo(findings_text(findings))
    return 0 if all(item.verdict is Verdict.SAME for item in findings) else DIFFERENT


@click.command()
@click.argument("first", metavar="RUN", shell_complete=complete_runs)
@click.argument("second", metavar="RUN", shell_complete=complete_runs)
@_json_option
def diff(first: str, second: str, as_json: bool) -> int:
    """Show what differs between two runs: cube, inputs, image, settings, host, outputs.

    RUN is a run's id, or enough of its start or end, or the path of its results. The exit code is 1
    if anything differs.
    """
    from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.comparison import differences_text  # noqa: PLC0415

    found = app.results.compare_results(first, second, print_warning)
    if as_json:
        dump({"differences": [attrs.asdict(item) for item in found]}, sys.stdout)
    else:
        click.echo(differences_text(found))
    return DIFFERENT if found else 0
