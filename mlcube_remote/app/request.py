# SPDX-License-Identifier: Apache-2.0
"""Turn options into a request: read the cube and the inventory, and check the options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mlcube_remote.app.host_slurm import with_slurm
from mlcube_remote.app.image_sources import image_sources
from mlcube_remote.app.inventory import open_inventory, select_hosts
from mlcube_remote.app.options import CubeOptions, RunOptions, StartOptions, SweepOptions
from mlcube_remote.app.sampling import check_sample, to_sample
from mlcube_remote.cube import system_settings
from mlcube_remote.cube.load import cube_directory, load, select_tasks
from mlcube_remote.cube.model import IO, Cube
from mlcube_remote.cube.system_settings import REMOTE, SystemSettings
from mlcube_remote.errors import UsageError
from mlcube_remote.inventory.model import Inventory
from mlcube_remote.plan.gpu_requests import check_gpus_option
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.runs.addresses import check_run_name
from mlcube_remote.runs.ids import is_run_id, new_run_id
from mlcube_remote.runs.trusted_cubes import read_trust
from mlcube_remote.secret import Secret
from mlcube_remote.suggestions import did_you_mean

if TYPE_CHECKING:
    from mlcube_remote.plan.sweep_points import SweepPoint
    from mlcube_remote.plan.trials import Trial


def load_cube(options: CubeOptions) -> Cube:
    """Read a cube.

    Raises:
        CubeError: ``mlcube.yaml`` is missing, or is wrong.
    """
    return load(options.path, overrides=options.overrides, workspace=options.workspace)


def make_request(options: RunOptions) -> tuple[RunRequest, Inventory]:
    """Return the request that the options describe. No host is asked.

    Raises:
        UsageError: An option, or a file that it names, is wrong.
    """
    _check_start(options.start)
    check_gpus_option(options.container.engine.gpus)
    settings = system_settings.load()
    options = _resolve_platform(options, settings)
    names = options.tasks.names
    trust = read_trust(cube_directory(options.cube.path), everything=options.container.trust_cube)
    cube = load(
        options.cube.path,
        overrides=options.cube.overrides,
        task_args=options.tasks.parameters,
        tasks=names,
        workspace=options.cube.workspace,
        allows_variable=trust.allows_variable,
    )
    inventory = open_inventory(options.hosts.inventory, options.cube.path, trust=trust)
    first = tuple(cube.tasks)[: 1 if options.configure_only else 0]
    tasks = tuple(task.name for task in select_tasks(cube, names or first))
    hosts = select_hosts(inventory, options.hosts.names, options.hosts.where)
    hosts = with_slurm(hosts, options.tasks.slurm)
    timeout = options.tasks.timeout
    request = RunRequest(
        cube=cube,
        hosts=hosts,
        tasks=tasks,
        run_id=_run_id(options.run_id),
        name=check_run_name(options.name) if options.name else "",
        platform=options.container.platform,
        system=settings,
        options=options.container.engine,
        env=_read_environment(options.tasks.env),
        trust=trust,
        allow_missing=_check_input_names(cube, tasks, options.tasks.allow_missing),
        copy_links=options.tasks.copy_links,
        image_sources=image_sources(inventory, hosts, options.container.ship_image),
        configure_only=options.configure_only,
        inventory=None if inventory.path is None else str(inventory.path.absolute()),
        inventory_cube=None if inventory.cube is None else str(inventory.cube),
        timeout=None if timeout is None else max(1, round(timeout)),
        grace=round(options.tasks.grace),
        fresh_outputs=options.tasks.fresh_outputs,
        again=options.attempts,
        command=options.command,
        trials=_make_trials(options, cube, tasks, len(hosts)),
        detach=options.start.detach,
    )
    return request, inventory


def _check_start(start: StartOptions) -> None:
    if start.detach and start.max_failures:
        raise UsageError(
            "--detach cannot be combined with --fail-fast or --max-failures",
            hint="omit them, or omit --detach: the client must keep running to count failures",
        )


def _resolve_platform(options: RunOptions, settings: SystemSettings) -> RunOptions:
    """Apply a platform of ``~/mlcube.yaml`` that is a host (``runner: remote``).

    Hosts and inventory of the options take precedence.

    Raises:
        UsageError: The platform is wrong, or its own platform is remote too.
    """
    name = options.container.platform
    found = settings.platform(name) if name else None
    if found is None or found.platform != REMOTE:
        return options
    engine = found.settings.get("platform")
    inner = settings.platform(engine) if engine else None
    if inner is not None and inner.platform == REMOTE:
        raise UsageError(
            f"{found.where}: platforms.{found.name}: platform: {engine} is itself remote",
            hint="expected docker, podman, singularity, apptainer, or a platform of one of these",
        )
    host = found.settings.get("host")
    hosts = attrs.evolve(
        options.hosts,
        names=options.hosts.names or ((host,) if host else ()),
        inventory=options.hosts.inventory or found.settings.get("inventory"),
    )
    container = attrs.evolve(options.container, platform=engine)
    return attrs.evolve(options, hosts=hosts, container=container)


def _make_trials(
    options: RunOptions, cube: Cube, tasks: Sequence[str], hosts: int
) -> tuple[Trial, ...]:
    """Return the jobs of a sweep or of shards; empty if each host has one job.

    Raises:
        UsageError: An option, or the sweep file, is wrong.
        PlanError: A point has a name that the tasks do not know.
    """
    check_sample(options.sweep)
    if not options.sweep.is_pool:
        return ()
    from mlcube_remote.plan.trials import make_trials  # noqa: PLC0415 - only for sweeps

    points = _sweep_points(options.sweep, options.tasks.parameters, hosts)
    return make_trials(cube, points, tasks)


def _sweep_points(
    sweep: SweepOptions, parameters: Mapping[str, str], hosts: int
) -> tuple[SweepPoint, ...]:
    """Return the points of a sweep or of shards.

    Raises:
        UsageError: An option, or the sweep file, is wrong.
    """
    from mlcube_remote.plan.sweep_points import parse_shard, sweep_points  # noqa: PLC0415

    if sweep.shard and (sweep.axes or sweep.file):
        other = "--sweep" if sweep.axes else "--sweep-file"
        raise UsageError(f"--shard and {other} cannot be combined", hint="omit one of them")
    if sweep.shard:
        points = parse_shard(sweep.shard, hosts)
    else:
        file = Path(sweep.file) if sweep.file else None
        points = sweep_points(sweep.axes, file, to_sample(sweep))
    if twice := sorted(parameters.keys() & points[0].values.keys()):
        option = "--shard" if sweep.shard else "the sweep"
        raise UsageError(
            f"{twice[0]}: NAME=VALUE sets it, and {option} sets it too", hint="omit one of them"
        )
    return points


def _check_input_names(cube: Cube, tasks: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """Return the names of ``--allow-missing``.

    Raises:
        UsageError: A name is not an input of these tasks.
    """
    inputs = {
        parameter.name
        for task in tasks
        for parameter in cube.tasks[task].parameters
        if parameter.io is IO.INPUT
    }
    for name in names:
        if name not in inputs:
            raise UsageError(
                f"--allow-missing={name}: no input of {', '.join(tasks)}"
                f"{did_you_mean(name, inputs)}",
                hint=f"inputs: {', '.join(sorted(inputs)) or 'none'}",
            )
    return frozenset(names)


def _run_id(explicit: str | None) -> str:
    if explicit is None:
        return new_run_id()
    if not is_run_id(explicit):
        raise UsageError(
            f"--run-id={explicit}: not a run id",
            hint=f"expected an id such as {new_run_id()}; mlcube-remote ps --all lists them",
        )
    return explicit


def _read_environment(names: Iterable[str]) -> dict[str, Secret]:
    """Return the variables that ``--env`` names, from this process.

    Raises:
        UsageError: A name contains a value, or the variable is not set.
    """
    result: dict[str, Secret] = {}
    for name in names:
        if "=" in name:
            variable = name.partition("=")[0]
            raise UsageError(
                f"--env {variable}=…: every user can see a value on the command line",
                hint=f"export {variable} first, then --env {variable}",
            )
        if name not in os.environ:
            raise UsageError(f"--env {name}: not set in this shell", hint=f"export {name}=… first")
        result[name] = Secret(os.environ[name])
    return result
