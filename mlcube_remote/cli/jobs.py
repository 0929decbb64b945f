# SPDX-License-Identifier: Apache-2.0
"""Commands on an earlier run: ``attach``, ``logs``, ``wait``, ``status``, ``stop``, ``pull``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote.app.options import HostOptions
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import (
    CredentialPrompts,
    Display,
    Following,
    ReportPaths,
    print_warning,
)

if TYPE_CHECKING:  # --help needs none of these
    from mlcube_remote.app.follow import FoundRun
    from mlcube_remote.dispatch.run_context import RunContext
    from mlcube_remote.events.outcome import JobOutcome
    from mlcube_remote.jobs.lookup import RecordedJob

_tail_option = click.option(
    "--tail", type=click.IntRange(min=0), metavar="N", help="Start with the last N lines."
)


@click.command()
@shared.run_argument
@_tail_option
@shared.gather_option
@shared.host_options
@shared.follow_options
@shared.credential_options
@shared.report_options
@shared.display_options
def attach(
    run_text: str,
    tail: int | None,
    gather: bool,
    hosts: HostOptions,
    following: Following,
    credentials: CredentialPrompts,
    reports: ReportPaths,
    display: Display,
) -> int:
    """Follow a run from its first byte on, and pull its outputs when it has ended.

    RUN is a run's id, or enough of its start or end. If the run has several jobs, those that this
    machine has followed to their end are not shown again.
    """
    from mlcube_remote.app.follow import follow_run  # noqa: PLC0415 - not for --help
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415
    from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    found = _find(run_text, hosts, credentials)
    jobs = found.run.jobs
    repeats = tail is not None or len(jobs) == 1
    if not repeats and found.seen and not display.quiet:
        click.echo(
            f"not shown again: {found.seen} of {len(jobs)} jobs, which this machine has followed "
            f"to their end; to see them: mlcube-remote logs {found.run.run_id}",
            err=True,
        )
    report = follow_run(
        found,
        AttachOptions(tail=tail, repeats=repeats),
        on_terminal(display, reports=reports, on_interrupt=following.on_interrupt, gather=gather),
        reconnect_timeout=following.reconnect_timeout,
    )
    return print_report(report, display)


@click.command()
@shared.run_argument
@shared.host_options
@shared.follow_options
@shared.credential_options
@shared.report_options
@shared.display_options
def wait(
    run_text: str,
    hosts: HostOptions,
    following: Following,
    credentials: CredentialPrompts,
    reports: ReportPaths,
    display: Display,
) -> int:
    """Wait until a run has ended, and return its exit code."""
    from mlcube_remote.app.follow import follow_run  # noqa: PLC0415 - not for --help
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415
    from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415

    report = follow_run(
        _find(run_text, hosts, credentials),
        AttachOptions(shows_output=False, pulls=False),
        on_terminal(display, reports=reports, on_interrupt=following.on_interrupt),
        reconnect_timeout=following.reconnect_timeout,
    )
    return print_report(report, display)


@click.command()
@shared.run_argument
@click.option("--follow", "-f", is_flag=True, help="Continue until the run has ended.")
@_tail_option
@shared.gather_option
@shared.host_options
@shared.credential_options
def logs(
    run_text: str,
    follow: bool,
    tail: int | None,
    gather: bool,
    hosts: HostOptions,
    credentials: CredentialPrompts,
) -> int:
    """Print the output of a run's tasks."""
    from mlcube_remote.app.follow import follow_run  # noqa: PLC0415 - not for --help
    from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415
    from mlcube_remote.dispatch.attach import AttachOptions  # noqa: PLC0415
    from mlcube_remote.events.exit_codes import exit_code  # noqa: PLC0415

    report = follow_run(
        _find(run_text, hosts, credentials),
        AttachOptions(tail=tail, pulls=False, ends=not follow),
        on_terminal(Display(quiet=True), gather=gather),
        reconnect_timeout=0.0,
    )
    return exit_code([each for each in report.outcomes if each.error is not None])


@click.command()
@shared.run_argument
@shared.host_options
@shared.credential_options
@shared.display_options
def status(
    run_text: str, hosts: HostOptions, credentials: CredentialPrompts, display: Display
) -> int:
    """Show the state of each job of a run."""
    from mlcube_remote.dispatch.attach import status_job  # noqa: PLC0415 - not for --help

    quiet = attrs.evolve(display, quiet=True)
    return _on_each_job(_find(run_text, hosts, credentials), status_job, display, progress=quiet)


@click.command()
@shared.run_argument
@click.option(
    "--grace",
    type=shared.Duration(),
    default="10s",
    show_default=True,
    metavar="TIME",
    help="Time between SIGTERM and SIGKILL.",
)
@shared.host_options
@shared.credential_options
@shared.display_options
def stop(
    run_text: str,
    grace: float,
    hosts: HostOptions,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Stop a run's jobs. It is safe to stop them twice."""
    from mlcube_remote.dispatch.attach import stop_job  # noqa: PLC0415 - not for --help

    work = partial(stop_job, grace=round(grace))
    return _on_each_job(_find(run_text, hosts, credentials), work, display, is_stop=True)


@click.command()
@shared.run_argument
@click.option(
    "--output", "outputs", multiple=True, metavar="NAME", help="Only this output; repeatable."
)
@shared.host_options
@shared.credential_options
@shared.talk_options
def pull(
    run_text: str,
    outputs: tuple[str, ...],
    hosts: HostOptions,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Pull the outputs of a run; while it is running, those that exist so far."""
    from mlcube_remote.dispatch.attach import pull_job  # noqa: PLC0415 - not for --help

    work = partial(pull_job, names=frozenset(outputs))
    return _on_each_job(_find(run_text, hosts, credentials), work, display)


def _find(run_text: str, hosts: HostOptions, credentials: CredentialPrompts) -> FoundRun:
    from mlcube_remote.app.follow import find_run  # noqa: PLC0415 - not for --help

    return find_run(run_text, hosts, credentials, print_warning)


def _on_each_job(
    found: FoundRun,
    work: Callable[[RecordedJob, RunContext], JobOutcome],
    display: Display,
    *,
    progress: Display | None = None,
    is_stop: bool = False,
) -> int:
    from mlcube_remote.app.follow import on_each_job  # noqa: PLC0415 - not for --help
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415
    from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415

    observe = on_terminal(attrs.evolve(progress or display, verbose=False))
    report = on_each_job(found, work, observe, reconnect_timeout=0.0)
    code = print_report(report, display)
    # A user who stopped the jobs gets no error code because they were stopped.
    return 0 if is_stop and all(each.error is None for each in report.outcomes) else code
