# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote run`` and ``mlcube-remote configure``."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.session import (
    Logins,
    environment,
    open_inventory,
    select_hosts,
    split_arguments,
    split_names,
)
from mlcube_remote.errors import UnexpectedError

_parallel_option = click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="Hosts that are worked on at once.",
)
_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print every command that would run; touch nothing."
)


@click.command()
@shared.host_options
@shared.task_option
@shared.cube_options
@shared.platform_options
@click.option(
    "--env",
    "env_names",
    multiple=True,
    metavar="NAME",
    help="Hand a variable of this shell to the container; its value is shown nowhere.",
)
@_parallel_option
@_dry_run_option
@shared.login_options
@shared.output_options
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
def run(**given: Any) -> int:
    """Run tasks of a cube on one or many hosts.

    NAME=VALUE gives a parameter of the task another value. A relative path is in the workspace; an
    absolute one is on the host; local:PATH is on this machine.
    """
    return _execute(given, configure_only=False)


@click.command()
@shared.host_options
@shared.cube_options
@shared.platform_options
@_parallel_option
@_dry_run_option
@shared.login_options
@shared.output_options
def configure(**given: Any) -> int:
    """Send a cube to hosts and pull or build its image there."""
    return _execute({**given, "tasks": (), "env_names": (), "arguments": ()}, configure_only=True)


def _execute(given: dict[str, Any], *, configure_only: bool) -> int:
    # The rooms below are imported here: parsing and --help need none of them.
    from mlcube_remote.commands.model import Options  # noqa: PLC0415
    from mlcube_remote.cube.load import load, select_tasks  # noqa: PLC0415
    from mlcube_remote.dispatch.plan import Request, plan  # noqa: PLC0415
    from mlcube_remote.runs.ids import new_run_id  # noqa: PLC0415

    task_names = split_names(given["tasks"])
    cube = load(
        given["mlcube"],
        overrides=given["overrides"],
        task_args=split_arguments(given["arguments"]),
        tasks=task_names,
        workspace=given["workspace"],
    )
    inventory = open_inventory(given["inventory"], given["mlcube"])
    tasks = select_tasks(cube, task_names or tuple(cube.tasks)[: 1 if configure_only else 0])
    request = Request(
        cube=cube,
        hosts=select_hosts(inventory, given["hosts"]),
        tasks=tuple(task.name for task in tasks),
        run_id=new_run_id(),
        platform=given["platform"],
        options=Options(
            gpus=given["gpus"],
            network=given["network"],
            memory=given["memory"],
            cpu=given["cpu"],
            security=given["security"],
            mount=given["mount"],
        ),
        env=environment(given["env_names"]),
        trust_cube=given["trust_cube"],
        configure_only=configure_only,
    )
    as_json = given["output"] == "json"
    if given["dry_run"]:
        return _dry_run(request, as_json=as_json)
    jobs = plan(request)
    logins = Logins.ask(
        inventory, password=given["ask_password"], passphrase=given["ask_passphrase"]
    )
    return _dispatch(request, jobs, logins, given, as_json=as_json)


def _dry_run(request: Any, *, as_json: bool) -> int:
    from mlcube_remote.dispatch.dryrun import dry_run  # noqa: PLC0415
    from mlcube_remote.ui import document, dryrun  # noqa: PLC0415

    planned, notes = dry_run(request)
    tasks = tuple(
        dryrun.PlannedTask(
            host=item.host,
            platform=item.platform,
            task=item.task,
            configure=item.commands.configure,
            run=item.commands.run,
            creates=item.commands.creates,
            launch=item.launch,
        )
        for item in planned
    )
    if as_json:
        document.dump(dryrun.dry_run_document(tasks), sys.stdout)
        for host, lines in notes.items():
            for line in lines:
                click.echo(f"{host}: {line}", err=True)
    else:
        click.echo(dryrun.dry_run_text(tasks, notes))
    return 0


def _dispatch(
    request: Any, jobs: Any, logins: Logins, given: dict[str, Any], *, as_json: bool
) -> int:
    from mlcube_remote.dispatch.dialling import Dialler  # noqa: PLC0415
    from mlcube_remote.dispatch.rsync import advice  # noqa: PLC0415

    if any(not job.host.is_local for job in jobs) and (warning := advice()):
        click.echo(f"warning: {warning}", err=True)
    dialler = Dialler(logins.connect)
    dialler.begin((job.host for job in jobs), at_once=given["parallel"])
    # Hosts take their time to answer: the rest is imported meanwhile.
    from mlcube_remote.dispatch.exitcode import exit_code  # noqa: PLC0415
    from mlcube_remote.dispatch.fanout import run_all  # noqa: PLC0415
    from mlcube_remote.dispatch.run import Run  # noqa: PLC0415
    from mlcube_remote.ui.document import dump, run_document  # noqa: PLC0415
    from mlcube_remote.ui.errors import print_error, report_crash  # noqa: PLC0415
    from mlcube_remote.ui.reporter import make_reporter  # noqa: PLC0415
    from mlcube_remote.ui.summary import print_summary  # noqa: PLC0415

    reporter = make_reporter(
        hosts=[job.host.name for job in jobs],
        quiet=given["quiet"],
        verbose=given["verbose"],
        json=as_json,
    )
    with contextlib.closing(reporter):
        try:
            run = Run(connect=dialler, sink=reporter.handle)
            outcomes = run_all(jobs, run, parallel=given["parallel"])
        finally:
            dialler.hang_up()
    code = exit_code(outcomes)
    if as_json:
        dump(run_document(request.run_id, outcomes, code), sys.stdout)
    elif not given["quiet"]:
        print_summary(outcomes, sys.stderr)
    for outcome in outcomes:
        if isinstance(outcome.error, UnexpectedError) and outcome.error.__cause__ is not None:
            report_crash(outcome.error.__cause__, sys.stderr)
        elif outcome.error is not None:
            print_error(outcome.error, sys.stderr)
    return code
