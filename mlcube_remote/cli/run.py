# SPDX-License-Identifier: Apache-2.0
"""``mlcube-remote run`` and ``mlcube-remote configure``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mlcube_remote.cli import options as shared
from mlcube_remote.cli.session import (
    Logins,
    environment,
    is_pool,
    open_inventory,
    record,
    select_hosts,
    split_arguments,
    split_names,
    sweep_points,
    through_platform,
)
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Inventory

if TYPE_CHECKING:  # parsing and --help need none of these
    from mlcube_remote.dispatch.job import Request
    from mlcube_remote.dispatch.outcome import JobOutcome

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
@shared.where_option
@shared.task_option
@shared.sweep_options
@shared.retry_options(3)
@shared.cube_options
@shared.platform_options
@click.option(
    "--env",
    "env_names",
    multiple=True,
    metavar="NAME",
    help="Hand a variable of this shell to the container; its value is shown nowhere.",
)
@click.option(
    "--timeout",
    type=shared.Duration(),
    metavar="TIME",
    help="What each task may take, such as 90s or 8h; its host ends it after that.",
)
@click.option(
    "--run-id",
    metavar="ID",
    help="Go on with this run: what it started before is not started again.",
)
@shared.start_options
@shared.gather_option
@shared.follow_options
@shared.login_options
@shared.report_options
@shared.output_options
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
def run(**given: Any) -> int:
    """Run tasks of a cube on one or many hosts.

    NAME=VALUE gives a parameter of the task another value. A relative path is in the workspace; an
    absolute one is on the host; local:PATH is on this machine.
    """
    _require_pool_for_retries(given)
    return execute(given)


def _require_pool_for_retries(given: Mapping[str, Any]) -> None:
    """Refuse what would be of no effect where each host has one job."""
    if is_pool(given):
        return
    context = click.get_current_context()
    for name in ("retries", "retry_on"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(
                f"--{name.replace('_', '-')}: only jobs of --sweep or --shard are begun again",
                hint="mlcube-remote rerun RUN --failed runs others again",
            )


@click.command()
@shared.host_options
@shared.where_option
@shared.cube_options
@shared.platform_options
@_parallel_option
@_dry_run_option
@shared.login_options
@shared.output_options
def configure(**given: Any) -> int:
    """Send a cube to hosts and pull or build its image there."""
    unused = {
        "tasks": (),
        "env_names": (),
        "arguments": (),
        "detach": False,
        "timeout": None,
        "wait": False,
        "fail_fast": False,
        "max_failures": None,
        "run_id": None,
        "reconnect_timeout": shared.RECONNECT_TIMEOUT,
        "on_interrupt": "stop",
        "sweeps": (),
        "sweep_file": None,
        "shard": None,
    }
    return execute({**given, **unused}, configure_only=True)


def execute(
    given: dict[str, Any],
    *,
    configure_only: bool = False,
    again: Mapping[str, int] | None = None,
) -> int:
    """Do what the options of ``run`` say, and return the exit code; see :func:`prepare`."""
    request, inventory = prepare(given, configure_only=configure_only, again=again)
    as_json = given["output"] == "json"
    if given["dry_run"]:
        return _dry_run(request, as_json=as_json)
    outcomes = perform(request, inventory, given)
    from mlcube_remote.cli.following import report  # noqa: PLC0415

    return report(request.run_id, outcomes, given, as_json=as_json)


def prepare(
    given: dict[str, Any],
    *,
    configure_only: bool = False,
    again: Mapping[str, int] | None = None,
) -> tuple[Request, Inventory]:
    """Return what the options of ``run`` ask for; nothing is touched.

    Args:
        given: The options.
        configure_only: Whether to stop before any task.
        again: Of a run that was begun before, the jobs to run again: see
            :attr:`mlcube_remote.dispatch.job.Request.again`.

    Raises:
        UsageError: Something in them, or in a file that they name, is wrong.
    """
    if given["detach"] and (given["fail_fast"] or given["max_failures"]):
        raise UsageError(
            "--detach: nobody stays to see how many jobs fail",
            hint="leave --fail-fast and --max-failures out, or stay",
        )
    # The rooms below are imported here: parsing and --help need none of them.
    from mlcube_remote.commands.model import Options  # noqa: PLC0415
    from mlcube_remote.cube import system_settings  # noqa: PLC0415
    from mlcube_remote.cube.load import load, select_tasks  # noqa: PLC0415
    from mlcube_remote.dispatch.job import Request  # noqa: PLC0415
    from mlcube_remote.dispatch.lease import require_gpus  # noqa: PLC0415
    from mlcube_remote.dispatch.trial import trials  # noqa: PLC0415

    require_gpus(given["gpus"])
    system = system_settings.load()
    given = through_platform(given, system)
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
    hosts = select_hosts(inventory, given["hosts"], given["where"])
    points = sweep_points(given, len(hosts))
    request = Request(
        cube=cube,
        hosts=hosts,
        tasks=tuple(task.name for task in tasks),
        run_id=_run_id(given["run_id"]),
        platform=given["platform"],
        system=system,
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
        inventory=None if inventory.path is None else str(inventory.path.absolute()),
        timeout=None if given["timeout"] is None else max(1, round(given["timeout"])),
        again=again,
        trials=trials(cube, points, [task.name for task in tasks]),
        detach=given["detach"],
    )
    return request, inventory


def _dry_run(request: Request, *, as_json: bool) -> int:
    from mlcube_remote.dispatch.dryrun import dry_run  # noqa: PLC0415
    from mlcube_remote.ui import document, dryrun  # noqa: PLC0415

    planned, notes = dry_run(request)
    tasks = tuple(
        dryrun.PlannedTask(
            host=item.host,
            job=item.job,
            platform=item.platform,
            task=item.task,
            configure=item.commands.configure,
            run=item.run,
            creates=item.creates,
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


def _run_id(given: str | None) -> str:
    from mlcube_remote.runs.ids import is_run_id, new_run_id  # noqa: PLC0415

    if given is None:
        return new_run_id()
    if not is_run_id(given):
        raise UsageError(
            f"--run-id={given}: not a run id",
            hint=f"expected something like {new_run_id()}; mlcube-remote ps --all lists them",
        )
    return given


def perform(
    request: Request, inventory: Inventory, given: dict[str, Any]
) -> tuple[JobOutcome, ...]:
    """Do what was prepared, and return how each job ended.

    Raises:
        PlanError: Cube, tasks and hosts do not fit together; nothing was touched.
    """
    from mlcube_remote.dispatch.plan import plan  # noqa: PLC0415

    jobs = plan(request)
    logins = Logins.ask(
        inventory, password=given["ask_password"], passphrase=given["ask_passphrase"]
    )
    from mlcube_remote.dispatch.dialling import Dialler  # noqa: PLC0415
    from mlcube_remote.dispatch.rsync import advice  # noqa: PLC0415

    if any(not job.host.is_local for job in jobs) and (warning := advice()):
        click.echo(f"warning: {warning}", err=True)
    do = _in_pool(request, jobs, given) if request.trials else _on_each_host(jobs, given)
    # Before anything happens anywhere, so that whatever happens can be found again.
    store = None if request.configure_only else record(request, jobs, given)
    dialler = Dialler(logins.connect)
    dialler.begin(request.hosts, at_once=given["parallel"])
    # Hosts take their time to answer: the rest is imported meanwhile.
    from mlcube_remote.cli.following import show_jobs  # noqa: PLC0415
    from mlcube_remote.runs.results_index import results_directory  # noqa: PLC0415

    try:
        return show_jobs(
            request.run_id,
            [job.name for job in jobs],
            do,
            given,
            connect=dialler,
            store=store,
            results=None if store is None else results_directory(request.run_id, store),
            keeps=bool(request.trials),
        )
    finally:
        dialler.hang_up()


def _on_each_host(jobs: Any, given: dict[str, Any]) -> Any:
    """Return what does one job on each host."""
    from mlcube_remote.dispatch.fanout import run_all  # noqa: PLC0415
    from mlcube_remote.dispatch.pipeline import run_job  # noqa: PLC0415

    def do(run: Any, decide: Any) -> Any:
        work = [partial(run_job, job, run) for job in jobs]
        return run_all(work, run, parallel=given["parallel"], decide=decide)

    return do


def _in_pool(request: Any, jobs: Any, given: dict[str, Any]) -> Any:
    """Return what does jobs wherever a host of the pool is free."""
    from mlcube_remote.dispatch.pool import run_pool  # noqa: PLC0415
    from mlcube_remote.dispatch.queue import places, queue  # noqa: PLC0415
    from mlcube_remote.dispatch.schedule import Policy, RetryOn  # noqa: PLC0415
    from mlcube_remote.runs.store import Store  # noqa: PLC0415

    waiting = queue(request, jobs, Store())
    policy = Policy(
        retries=given["retries"],
        retry_on=frozenset(RetryOn(each) for each in given["retry_on"] or ("host",)),
        patience=given["reconnect_timeout"],
        parallel=given["parallel"],
        waits=given["wait"],
    )

    def do(run: Any, decide: Any) -> Any:
        return run_pool(waiting, places(request), policy, run, decide=decide)

    return do
