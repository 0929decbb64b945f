# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote rerun``: run jobs of an earlier run again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.options import JobFilter, RunOptions, Sensible, StartOptions
from mlcube_remote.cli import display_options as screen
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.compare import DIFFERENT
from mlcube_remote.cli.completers import complete_hosts, complete_run_hosts
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts, Display, group
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run import run_jobs
from mlcube_remote.cli.run_target import RunTarget, run_target
from mlcube_remote.errors import StateUnknownError, TransferError, UsageError

if TYPE_CHECKING:
    from mlcube_remote.app.rerun import RerunChoice
    from mlcube_remote.app.rerun_selection import RerunSelection

_job_filter_options = group(
    "which",
    JobFilter,
    click.option("--failed", is_flag=True, help="Only jobs that did not succeed."),
    click.option(
        "--host",
        "-H",
        "hosts",
        multiple=True,
        metavar="HOSTS",
        shell_complete=complete_run_hosts,
        help="Only jobs on these hosts of the run: names and ranges, separated by commas.",
    ),
    click.option(
        "--gone",
        multiple=True,
        metavar="HOSTS",
        shell_complete=complete_run_hosts,
        help="Treat jobs on these hosts as lost: the hosts are gone for good.",
    ),
)
_fresh_option = click.option(
    "--fresh-outputs/--no-fresh-outputs",
    default=None,
    help="Fail if a task succeeds and leaves one of its outputs as it was before.  "
    "[default: as recorded]",
)


@attrs.frozen(kw_only=True)
class _Verification:
    """How a run is repeated to compare its outputs."""

    allowed: frozenset[str]
    """Sources that may differ."""
    hosts: tuple[str, ...]
    """Hosts to run on instead; empty: as recorded."""


def _verification(
    *, verifies: bool, allow_changed: tuple[str, ...], other_hosts: tuple[str, ...]
) -> _Verification | None:
    """Return how a run is verified; ``None``: it is not."""
    for name, value in (("allow-changed", allow_changed), ("on", other_hosts)):
        if value and not verifies:
            raise UsageError(
                f"--{name}: expected only with --verify", hint=f"add --verify, or omit --{name}"
            )
    if not verifies:
        return None
    return _Verification(allowed=frozenset(allow_changed), hosts=other_hosts)


_verify_options = group(
    "verification",
    _verification,
    click.option(
        "--verify",
        "verifies",
        is_flag=True,
        help="Repeat with the same cube, inputs and image, and compare the new outputs with those "
        "before; the exit code is 1 if they differ.",
    ),
    click.option(
        "--allow-changed",
        multiple=True,
        type=click.Choice(["cube", "input", "image"]),
        help="With --verify, run even if the cube, an input or the image differs; repeatable.",
    ),
    click.option(
        "--on",
        "other_hosts",
        multiple=True,
        metavar="HOSTS",
        shell_complete=complete_hosts,
        help="With --verify, repeat the job on these hosts of the inventory. If the job is not "
        "part of a sweep, it becomes a new run.",
    ),
)


@click.command(cls=HelpfulCommand)
@run_target(Sensible.NEWEST)
@_job_filter_options
@shared.rerun_retry_options
@_fresh_option
@_verify_options
@shared.start_options
@shared.reconnect_option
@shared.credential_options
@screen.run_display_options
def rerun(
    target: RunTarget,
    which: JobFilter,
    retries: int | None,
    retry_on: tuple[str, ...],
    fresh_outputs: bool | None,
    verification: _Verification | None,
    start: StartOptions,
    dry_run: bool,
    reconnect_timeout: float,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Run jobs of a run again, with the arguments that it was started with.

    New outputs replace the old ones in the same directory of results. Jobs that may still be
    running are skipped.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine.
    """
    if verification is not None and start.detach:
        raise UsageError(
            "--verify and --detach: outputs are compared after their download",
            hint="omit --detach",
        )
    choice = app.rerun.choose_jobs(
        target.text, attrs.evolve(which, jobs=target.jobs), print_warning
    )
    options = choice.options(
        start,
        reconnect_timeout=reconnect_timeout,
        retries=retries,
        retry_on=frozenset(retry_on),
        fresh_outputs=fresh_outputs,
        other_hosts=() if verification is None else verification.hosts,
    )
    _print_skipped(choice)
    if not choice.selection.attempts:
        return _report_nothing(choice, display)
    with choice.in_recorded_folder():
        if verification is not None and not dry_run:
            return _verify(choice, options, credentials, display, verification.allowed)
        return run_jobs(options, credentials, display, dry_run=dry_run)


def _report_nothing(choice: RerunChoice, display: Display) -> int:
    """Print that no job is started, and return the exit code."""
    code = _exit_code(choice.selection)
    click.echo("no job to run again", err=True)
    if display.as_json:
        from mlcube_remote.ui.files.json_output import dump, run_document  # noqa: PLC0415 - slow

        status = "unknown" if code else "succeeded"
        dump({**run_document(choice.run_id, (), code), "status": status}, sys.stdout)
    return code


def _verify(
    choice: RerunChoice,
    options: RunOptions,
    credentials: CredentialPrompts,
    display: Display,
    allowed: frozenset[str],
) -> int:
    """Run the jobs, print how their new outputs differ, and return the exit code."""
    jobs = choice.selection.attempts
    baseline = app.repetition.find_baseline(choice.run_id, jobs, print_warning)
    without = [name for name in jobs if name not in baseline]
    run_id = options.run_id or choice.run_id
    if run_id != choice.run_id:
        baseline = app.repetition.on_other_hosts(baseline, options)
    expected = app.repetition.expected_sources(baseline, allowed)
    code = run_jobs(options, credentials, display, dry_run=False, expected=expected)
    from mlcube_remote.ui.tables.comparison import outputs_text  # noqa: PLC0415 - slow to import

    compared = app.repetition.compare_repetitions(run_id, baseline, print_warning)
    for name in without:
        click.echo(f"not compared: {name} has no earlier outputs", err=True)
    if not compared:
        click.echo("no outputs were compared", err=True)
        return code or DIFFERENT
    click.echo(outputs_text(compared), err=display.as_json)
    return code if all(item.is_identical for item in compared) else DIFFERENT


def _exit_code(selection: RerunSelection) -> int:
    """Return the exit code of a rerun that starts nothing."""
    if selection.possibly_running or selection.unassigned:
        return StateUnknownError.exit_code
    return TransferError.exit_code if selection.unpulled else 0


def _print_skipped(choice: RerunChoice) -> None:
    """Print which jobs are not run again, and what the user can do."""
    from mlcube_remote.ui.tables.next_steps import shorten_names  # noqa: PLC0415 - slow to import

    selection = choice.selection
    if selection.unpulled:
        names = shorten_names(selection.unpulled)
        click.echo(f"not run again: {names} succeeded; only its outputs are missing here", err=True)
        click.echo(f"  pull them:  mlcube-remote pull {choice.run_id}", err=True)
    for name in selection.possibly_running:
        click.echo(f"not started again: {name} may still be running", err=True)
    if selection.possibly_running:
        click.echo(f"  follow it:  mlcube-remote attach {choice.run_id}", err=True)
        click.echo(
            "  if its host is gone for good:  repeat this command with --gone=HOST", err=True
        )
    if selection.unassigned:
        names = shorten_names(selection.unassigned)
        click.echo(f"not started again: {names}, still queued by another client", err=True)
        click.echo(
            "  if that client is gone:  repeat the command that started the run, with "
            f"--run-id={choice.run_id}",
            err=True,
        )
