# SPDX-License-Identifier: Apache-2.0
"""Print the outcomes of a command: summary, errors and the next step."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence

import click

from mlcube_remote.app.observer import RunReport
from mlcube_remote.cli.option_groups import Display
from mlcube_remote.cli.printing import print_warning, terminal_width
from mlcube_remote.errors import (
    CancelledError,
    ConfigureError,
    DetachedError,
    HostError,
    MLCubeRemoteError,
    UnexpectedError,
)
from mlcube_remote.events.exit_codes import exit_code
from mlcube_remote.events.outcome import JobOutcome, Status
from mlcube_remote.runs.store import RUN, Store
from mlcube_remote.ui.errors import print_errors, report_crash
from mlcube_remote.ui.tables.next_steps import next_steps
from mlcube_remote.ui.tables.summary import summary_text

_SHARED_ERRORS = (DetachedError, CancelledError)
"""Errors that are reported once for all jobs, instead of once per job."""


def print_report(
    report: RunReport,
    display: Display,
    *,
    is_detached: bool = False,
    is_recorded: bool = True,
    on_host: Collection[str] = frozenset(),
) -> int:
    """Print how the jobs ended, and return the exit code.

    Args:
        report: The outcomes.
        display: What to print.
        is_detached: Whether the command was asked to detach from the jobs.
        is_recorded: Whether other commands can find the run by its id.
        on_host: Names of the jobs whose outputs were not pulled.
    """
    outcomes = report.outcomes
    code = exit_code(outcomes)
    if display.as_json:
        from mlcube_remote.ui.files.json_output import dump, run_document  # noqa: PLC0415

        dump(run_document(report.run_id, outcomes, code), sys.stdout)
    elif not display.quiet:
        table = summary_text(outcomes, width=terminal_width(sys.stderr))
        _print_table(report.run_id if is_recorded else None, table)
        if len(outcomes) > 1 and any(outcome.outputs for outcome in outcomes):
            click.echo(f"compare them: mlcube-remote results show {report.run_id}", err=True)
    _print_problems(report, display, on_host)
    if is_detached and not display.as_json and code == 0:
        click.echo(report.run_id)
    if display.notify is not None:
        _notify(display.notify, report, code)
    return code


def _notify(how: str, report: RunReport, code: int) -> None:
    """Report the end of a run; a failure is a warning, and does not change the exit code."""
    from mlcube_remote.ui.notification import EndOfRun, notify  # noqa: PLC0415 - few runs need it

    name = Store().name_of(report.run_id) or ""
    end = EndOfRun(run_id=report.run_id, name=name, outcomes=report.outcomes, exit_code=code)
    if end.has_ended and (problem := notify(how, end, sys.stderr)):
        print_warning(f"--notify: {problem}")


def print_status(report: RunReport, on_host: Collection[str], display: Display) -> int:
    """Print the states of a run's jobs, and return the exit code.

    Args:
        report: The states.
        on_host: Names of the jobs whose outputs are still on their hosts.
        display: What to print.
    """
    from mlcube_remote.ui.tables.status import status_document, status_text  # noqa: PLC0415

    outcomes = report.outcomes
    code = exit_code(outcomes)
    if display.as_json:
        from mlcube_remote.ui.files.json_output import dump  # noqa: PLC0415

        dump(status_document(report.run_id, outcomes, code, on_host), sys.stdout)
    elif not display.quiet:
        width = terminal_width(sys.stderr)
        _print_table(report.run_id, status_text(outcomes, on_host, now=time.time(), width=width))
    _print_problems(report, display, on_host)
    return code


def _print_table(run_id: str | None, table: str) -> None:
    """Print a table below the run's id and name, so that the user can address the run."""
    title = "" if run_id is None else f"run {with_name(run_id)}\n"
    click.echo(f"\n{title}{table}", err=True)


def with_name(run_id: str) -> str:
    """Return a run's id, and its name if it has one."""
    name = Store().name_of(run_id)
    return f"{run_id} ({name})" if name else run_id


def _print_problems(report: RunReport, display: Display, on_host: Collection[str]) -> None:
    """Print errors and the next steps."""
    outcomes = report.outcomes
    _print_errors(outcomes, display)
    can_rerun = Store().has(report.run_id, RUN)
    steps = next_steps(report.run_id, outcomes, can_rerun=can_rerun, on_host=on_host)
    if steps:
        click.echo(steps, err=True)


def print_errors_alone(report: RunReport, display: Display) -> int:
    """Print the errors of jobs, without a table; return the exit code. A failed task is none."""
    print_errors(_errors(report.outcomes, display), sys.stderr)
    return report.exit_code_of_errors


def _print_errors(outcomes: Sequence[JobOutcome], display: Display) -> None:
    errors = _errors(outcomes, display)
    if display.quiet and not display.as_json:
        # Without a table, this is the only place that shows why a task failed.
        errors += _task_failures(outcomes)
    print_errors(errors, sys.stderr)


def _errors(outcomes: Sequence[JobOutcome], display: Display) -> list[MLCubeRemoteError]:
    """Return the errors to print; a crash is reported at once."""
    errors: list[MLCubeRemoteError] = []
    for outcome in outcomes:
        error = outcome.error
        if error is None or isinstance(error, _SHARED_ERRORS):
            continue
        if isinstance(error, UnexpectedError) and error.__cause__:
            report_crash(error.__cause__, sys.stderr)
        elif isinstance(error, ConfigureError) and len(outcomes) == 1 and not display.quiet:
            # The build's output is right above, so it is not repeated.
            errors.append(error.brief())
        else:
            errors.append(error)
    return errors


def _task_failures(outcomes: Sequence[JobOutcome]) -> list[HostError]:
    """Return the reasons of failed tasks that neither an error nor an exit code shows."""
    return [
        HostError(outcome.label, f"{task.task}: {task.reason}")
        for outcome in outcomes
        for task in outcome.tasks
        if outcome.error is None and task.reason and task.status is not Status.SUCCEEDED
    ]
