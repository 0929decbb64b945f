# SPDX-License-Identifier: Apache-2.0
"""Commands on an earlier run: ``attach``, ``logs``, ``wait``, ``status``, ``stop``, ``pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.options import HostOptions, Sensible
from mlcube_remote.cli import display_options as screen
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts, Display
from mlcube_remote.cli.parameter_types import Duration, SinceTime, WholeNumber
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.run_target import RunTarget, run_target

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlcube_remote.app.follow import FoundRun
    from mlcube_remote.app.observer import Observe, RunReport
    from mlcube_remote.jobs.since import Since

_tail_option = click.option(
    "--tail",
    "-n",
    type=WholeNumber(min=0),
    metavar="N",
    help="Start with the last N lines of each task.",
)

_NO_RECONNECT = 0.0
"""A short command reports a lost host instead of waiting for it."""


@click.command(cls=HelpfulCommand)
@run_target(Sensible.LIVE_OR_NEWEST)
@_tail_option
@shared.host_options
@shared.reconnect_option
@shared.credential_options
@screen.run_display_options
def attach(
    target: RunTarget,
    tail: int | None,
    hosts: HostOptions,
    reconnect_timeout: float,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Follow a run from its first byte on, and pull its outputs when it has ended.

    If the run has several jobs, those that this machine has followed to their end are not shown
    again.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine; if an earlier one may still be
    running, name one.
    """
    found = _find(target, hosts, credentials)
    jobs = found.run.jobs
    shows_ended = tail is not None or len(jobs) == 1
    if not shows_ended and found.seen and not display.quiet:
        click.echo(
            f"not shown again: {found.seen} of {len(jobs)} jobs, which this machine has followed "
            f"to their end; to see them: mlcube-remote logs {found.run.run_id}",
            err=True,
        )
    how = app.follow.AttachOptions(tail=tail, repeats=shows_ended)
    observe = _on_terminal(display)
    report = app.follow.follow_run(found, how, observe, reconnect_timeout=reconnect_timeout)
    return _print_report(report, display)


@click.command(cls=HelpfulCommand)
@run_target(Sensible.LIVE_OR_NEWEST)
@shared.host_options
@shared.reconnect_option
@shared.credential_options
@screen.watch_options
def wait(
    target: RunTarget,
    hosts: HostOptions,
    reconnect_timeout: float,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Wait until a run has ended, and return its exit code. Its outputs stay on the host.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine; if an earlier one may still be
    running, name one.
    """
    found = _find(target, hosts, credentials)
    how = app.follow.AttachOptions(shows_output=False, pulls=False)
    observe = _on_terminal(display)
    report = app.follow.follow_run(found, how, observe, reconnect_timeout=reconnect_timeout)
    return _print_report(report, display, found.on_host)


@click.command(cls=HelpfulCommand)
@run_target(Sensible.NEWEST)
@click.option("--follow", "-f", is_flag=True, help="Continue until the run has ended.")
@_tail_option
@click.option(
    "--since",
    type=SinceTime(),
    metavar="TIME",
    help="Only output since TIME: a time span before now (15m, 8h), or a time "
    "(2026-11-28T17:30; in UTC with a Z at the end).",
)
@click.option(
    "--timestamps",
    "-t",
    is_flag=True,
    help="Print the time of each line before it: the host's clock, in UTC.",
)
@screen.gather_options
@shared.host_options
@shared.credential_options
def logs(
    target: RunTarget,
    follow: bool,
    tail: int | None,
    since: Since | None,
    timestamps: bool,
    display: Display,
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    """Print the output of a run's tasks: job after job, or with --follow all jobs as they print.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine.
    """
    display = attrs.evolve(display, quiet=True, ordered=not follow, only_prints=True)
    report = app.follow.follow_run(
        _find(target, hosts, credentials),
        app.follow.AttachOptions(
            tail=tail, since=since, timestamps=timestamps, pulls=False, ends=not follow
        ),
        _on_terminal(display),
        is_recorded=False,
        reconnect_timeout=_NO_RECONNECT,
    )
    from mlcube_remote.cli.report import print_errors_alone  # noqa: PLC0415 - slow to import

    return print_errors_alone(report, display)


@click.command(cls=HelpfulCommand)
@run_target(Sensible.NEWEST)
@shared.host_options
@shared.credential_options
@screen.display_options
def status(
    target: RunTarget, hosts: HostOptions, credentials: CredentialPrompts, display: Display
) -> int:
    """Show the state of each job of a run, and whether its outputs are still on the host.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine.
    """
    found = _find(target, hosts, credentials)
    observe = _on_terminal(attrs.evolve(display, quiet=True))
    report = app.follow.read_status(found, observe, reconnect_timeout=_NO_RECONNECT)
    from mlcube_remote.cli.report import print_status  # noqa: PLC0415 - slow to import

    return print_status(report, found.on_host, display)


@click.command(cls=HelpfulCommand)
@run_target(Sensible.LIVE)
@click.option(
    "--grace",
    type=Duration(),
    metavar="TIME",
    help="Time between SIGTERM and SIGKILL  [default: as the run was started with]",
)
@shared.host_options
@shared.credential_options
@screen.display_options
def stop(
    target: RunTarget,
    grace: float | None,
    hosts: HostOptions,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Stop a run's jobs. It is safe to repeat the command.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the only run of this machine that may still be running.
    """
    found = _find(target, hosts, credentials)
    observe = _on_terminal(display)
    report = app.follow.stop_run(found, grace, observe, reconnect_timeout=_NO_RECONNECT)
    code = _print_report(report, display)
    # The exit code of a stopped job is not an error of this command.
    return 0 if all(outcome.error is None for outcome in report.outcomes) else code


@click.command(cls=HelpfulCommand)
@run_target(Sensible.NEWEST)
@click.option(
    "--only", "outputs", multiple=True, metavar="NAME", help="Only this output; repeatable."
)
@shared.host_options
@shared.credential_options
@screen.pull_display_options
def pull(
    target: RunTarget,
    outputs: tuple[str, ...],
    hosts: HostOptions,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Pull the outputs of a run; while it is running, those that exist so far.

    RUN is a run's name, a part of its id, or 'last'; RUN/03 and RUN/gpu01 are one of its jobs.
    Without RUN, the command takes the latest run of this machine.
    """
    found = _find(target, hosts, credentials)
    observe = _on_terminal(display)
    report = app.follow.pull_run(found, outputs, observe, reconnect_timeout=_NO_RECONNECT)
    return _print_report(report, display)


def _find(target: RunTarget, hosts: HostOptions, credentials: CredentialPrompts) -> FoundRun:
    return app.follow.find_run(target.text, hosts, credentials, print_warning, jobs=target.jobs)


def _on_terminal(display: Display) -> Observe:
    from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415 - slow to import

    return on_terminal(display)


def _print_report(
    report: RunReport, display: Display, on_host: Collection[str] = frozenset()
) -> int:
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415 - slow to import

    return print_report(report, display, on_host=on_host)
