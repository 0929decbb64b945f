# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote run`` and ``mlcube-remote configure``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import attrs
import click

from mlcube_remote.app.options import (
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    StartOptions,
    SweepOptions,
)
from mlcube_remote.cli import options as shared
from mlcube_remote.cli.option_groups import (
    CredentialPrompts,
    Display,
    Following,
    ReportPaths,
    print_warning,
)
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.app.observer import Observer


@click.command()
@shared.host_label_options
@shared.task_option
@shared.sweep_options
@shared.cube_options
@shared.container_options
@click.option(
    "--env",
    multiple=True,
    metavar="NAME",
    help="Pass a variable of this shell to the container; its value is never shown.",
)
@click.option(
    "--timeout",
    type=shared.Duration(),
    metavar="TIME",
    help="Time limit per task, such as 90s or 8h; enforced on the host.",
)
@click.option(
    "--run-id",
    metavar="ID",
    help="Continue this run; jobs that it has started are not started twice.",
)
@shared.start_options
@shared.gather_option
@shared.follow_options
@shared.credential_options
@shared.report_options
@shared.display_options
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
def run(
    hosts: HostOptions,
    tasks: tuple[str, ...],
    sweep: SweepOptions,
    cube: CubeOptions,
    container: ContainerOptions,
    env: tuple[str, ...],
    timeout: float | None,
    run_id: str | None,
    start: StartOptions,
    dry_run: bool,
    gather: bool,
    following: Following,
    credentials: CredentialPrompts,
    reports: ReportPaths,
    display: Display,
    parameters: tuple[str, ...],
) -> int:
    """Run tasks of a cube on one or many hosts.

    NAME=VALUE sets a parameter of the task. A relative path is in the workspace, an absolute path
    on the host, and local:PATH on this machine.
    """
    _require_pool_for_retries(sweep)
    options = RunOptions(
        hosts=hosts,
        cube=cube,
        tasks=tasks,
        parameters=parameters,
        container=attrs.evolve(container, env=env),
        sweep=sweep,
        timeout=timeout,
        run_id=run_id,
        start=start,
        reconnect_timeout=following.reconnect_timeout,
    )
    if dry_run:
        return print_dry_run(options, display)
    return run_jobs(
        options,
        credentials,
        display,
        reports=reports,
        on_interrupt=following.on_interrupt,
        gather=gather,
    )


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


@click.command()
@shared.host_label_options
@shared.cube_options
@shared.container_options
@shared.parallel_option
@shared.dry_run_option
@shared.credential_options
@shared.display_options
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
    if dry_run:
        return print_dry_run(options, display)
    return run_jobs(options, credentials, display, on_interrupt="stop")


def run_jobs(
    options: RunOptions,
    credentials: CredentialPrompts,
    display: Display,
    *,
    reports: ReportPaths = ReportPaths(),  # noqa: B008 - frozen
    on_interrupt: str,
    gather: bool = False,
) -> int:
    """Run the jobs, show them, and return the exit code."""
    from mlcube_remote.app.run import run as run_on_hosts  # noqa: PLC0415 - not for --help

    def observe(run_id: str, jobs: Sequence[str]) -> AbstractContextManager[Observer]:
        # The display is imported while the hosts answer.
        from mlcube_remote.cli.terminal import on_terminal  # noqa: PLC0415

        show = on_terminal(display, reports=reports, on_interrupt=on_interrupt, gather=gather)
        return show(run_id, jobs)

    report = run_on_hosts(options, credentials, observe, print_warning)
    from mlcube_remote.cli.report import print_report  # noqa: PLC0415 - as above

    return print_report(report, display, is_detached=options.start.detach)


def print_dry_run(options: RunOptions, display: Display) -> int:
    """Print what the options would run, and return the exit code."""
    from mlcube_remote.app.dry_run import dry_run  # noqa: PLC0415 - not for --help
    from mlcube_remote.app.request import make_request  # noqa: PLC0415
    from mlcube_remote.ui.files import json_output as document  # noqa: PLC0415
    from mlcube_remote.ui.tables.dry_run import dry_run_document, dry_run_text  # noqa: PLC0415

    request, _ = make_request(options)
    tasks, notes = dry_run(request)
    if display.as_json:
        document.dump(dry_run_document(tasks), sys.stdout)
        for host, lines in notes.items():
            for line in lines:
                click.echo(f"{host}: {line}", err=True)
    else:
        click.echo(dry_run_text(tasks, notes))
    return 0
