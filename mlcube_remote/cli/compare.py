# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote verify`` and ``diff``: compare results with their records, and runs with runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts
from mlcube_remote.cli.output_formats import output_option_with_aliases
from mlcube_remote.cli.printing import print_value, print_warning, worst_exit_code
from mlcube_remote.cli.run_argument import complete_runs, run_argument, sensible_run
from mlcube_remote.ui.errors import print_errors

if TYPE_CHECKING:
    from mlcube_remote.jobs.verify import HostFindings

DIFFERENT = 1
"""Exit code if something differs, as that of diff(1)."""

_ALL = ""
"""Value of ``--host`` without hosts."""

_output_option = output_option_with_aliases("json")


@click.command(cls=HelpfulCommand)
@run_argument
@click.option(
    "--host",
    "-H",
    "hosts",
    is_flag=False,
    flag_value=_ALL,
    metavar="[HOSTS]",
    help="Also read the files that are still on the hosts; with HOSTS, only on these hosts.",
)
@shared.credential_options
@_output_option
def verify(
    run_text: str | None, hosts: str | None, credentials: CredentialPrompts, output: str
) -> int:
    """Read the outputs, inputs and cube of a run again, and compare them with its record.

    RUN is a run's name, a part of its id, 'last', or the path of its results. Without RUN, the
    command takes the latest run of this machine. Without --host, no host is asked. The exit code is
    1 if anything has changed, is missing or was added.
    """
    from mlcube_remote.ui.tables.comparison import findings_text  # noqa: PLC0415 - slow to import

    run_text = run_text or sensible_run()
    attempts = app.results.find_attempts(run_text, print_warning)
    findings = app.results.verify_results(attempts)
    answers: Sequence[HostFindings] = ()
    if hosts is not None:
        names = () if hosts == _ALL else (hosts,)
        # A path of results is not the name of a run, but each record has it.
        run_id = attempts[0]["run"] if attempts else run_text
        found = app.follow.find_run(run_id, HostOptions(names=names), credentials, print_warning)
        answers = app.results.verify_on_hosts(found, attempts)
        findings += [item for answer in answers for item in answer.findings]
    print_value(
        findings,
        output,
        document=lambda items: {
            "findings": [{**attrs.asdict(item), "verdict": item.verdict.value} for item in items]
        },
        text=findings_text,
    )
    errors = [answer.error for answer in answers if answer.error is not None]
    print_errors(errors, sys.stderr)
    if any(item.verdict.is_problem for item in findings):
        return DIFFERENT
    return worst_exit_code(errors)


@click.command(cls=HelpfulCommand)
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
