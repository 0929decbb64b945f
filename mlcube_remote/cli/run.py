# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote run`` and ``mlcube-remote configure``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote import app
from mlcube_remote.app.options import (
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    StartOptions,
    SweepOptions,
    TaskOptions,
)
from mlcube_remote.cli import display_options as screen
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.help import HelpfulCommand
from mlcube_remote.cli.option_groups import CredentialPrompts, Display
from mlcube_remote.cli.printing import print_warning
from mlcube_remote.cli.redact import redact
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.app.observer import Observe, Observer
    from mlcube_remote.runs.expected_sources import ExpectedSources


@click.command(cls=HelpfulCommand)
@shared.host_label_options
@shared.task_options
@shared.sweep_options
@shared.cube_options
@shared.container_options
@click.option(
    "--run-id",
    metavar="ID",
    help="Continue this run; jobs that it has started are not started twice.",
)
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="Name the run; other commands find it by its name.",
)
@shared.start_options
@shared.reconnect_option
@shared.credential_options
@screen.run_display_options
def run(
    hosts: HostOptions,
    tasks: TaskOptions,
    sweep: SweepOptions,
    cube: CubeOptions,
    container: ContainerOptions,
    run_id: str | None,
    name: str,
    start: StartOptions,
    dry_run: bool,
    reconnect_timeout: float,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Run tasks of a cube on one or many hosts.

    NAME=VALUE sets a parameter of the task. A relative path is in the workspace, an absolute path
    on the host, and local:PATH on this machine.
    """
    _require_pool_for_retries(sweep)
    options = RunOptions(
        hosts=hosts,
        tasks=tasks,
        sweep=sweep,
        cube=cube,
        container=container,
        run_id=run_id,
        name=name,
        start=start,
        reconnect_timeout=reconnect_timeout,
    )
    return run_jobs(options, credentials, display, dry_run=dry_run)


def _require_pool_for_retries(sweep: SweepOptions) -> None:
    """Refuse options that would have no effect because each host has one job."""
    if sweep.is_pool:
        return
    context = click.get_current_context()
    for name in ("retries", "retry_on"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(
                f"--{name.replace('_', '-')}: only jobs of --sweep or --shard are retried",
                hint="run failed jobs again: mlcube-remote rerun RUN --failed",
            )


@click.command(cls=HelpfulCommand)
@shared.host_label_options
@shared.cube_options
@shared.container_options
@shared.parallel_option
@shared.dry_run_option
@shared.credential_options
@screen.display_options
def configure(
    hosts: HostOptions,
    cube: CubeOptions,
    container: ContainerOptions,
    parallel: int,
    dry_run: bool,
    credentials: CredentialPrompts,
    display: Display,
) -> int:
    """Upload a cube to hosts, and pull or build its image there."""
    options = RunOptions(
        hosts=hosts,
        cube=cube,
        container=container,
        configure_only=True,
        start=StartOptions(parallel=parallel),
    )
    display = attrs.evolve(display, on_interrupt="stop")
    return run_jobs(options, credentials, display, dry_run=dry_run)


def run_jobs(
    options: RunOptions,
    credentials: CredentialPrompts,
    display: Display,
    *,
    dry_run: bool,
    expected: ExpectedSources | None = None,
) -> int:
    """Run the jobs and show them, or print what would run, and return the exit code."""
    options = app.sampling.with_seed(options)
    if options.sweep.sample and not display.quiet:
        click.echo(
            f"random points; --seed={options.sweep.seed} chooses the same ones again", err=True
        )
    if dry_run:
        return _print_dry_run(options, display)
    options = attrs.evolve(options, command=redact(sys.argv))
    is_recorded = not options.configure_only
    observe = _show_jobs(display, shows_id=is_recorded)
    report = app.run.run(options, credentials, observe, print_warning, expected=expected)
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415 - slow to import

    return print_report(report, display, is_detached=options.start.detach, is_recorded=is_recorded)


def _show_jobs(display: Display, *, shows_id: bool) -> Observe:
    def observe(run_id: str, jobs: Sequence[str]) -> AbstractContextManager[Observer]:
        # The display is imported while the hosts answer.
        from mlcube_remote.cli.report import with_name  # noqa: PLC0415
        from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415

        if shows_id and not display.quiet:
            click.echo(f"run {with_name(run_id)}", err=True)
        return on_terminal(display)(run_id, jobs)

    return observe


def _print_dry_run(options: RunOptions, display: Display) -> int:
    """Print what the options would run, and return the exit code."""
    from mlcube_remote.ui.files import json_output  # noqa: PLC0415 - slow to import
    from mlcube_remote.ui.tables.dry_run import dry_run_document, dry_run_text  # noqa: PLC0415

    request, _ = app.request.make_request(options)
    tasks, notes = app.dry_run.dry_run(request)
    if display.as_json:
        json_output.dump(dry_run_document(tasks), sys.stdout)
        for host, lines in notes.items():
            for line in lines:
                click.echo(f"{host}: {line}", err=True)
    else:
        click.echo(dry_run_text(tasks, notes))
    return 0
