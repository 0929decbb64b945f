# SPDX-License-Identifier: Apache-2.0
"""Start runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from mlcube_remote import app
from mlcube_remote.api import arguments
from mlcube_remote.api.arguments import Access, Names
from mlcube_remote.api.connections import choose_connection
from mlcube_remote.api.observer import OnEvent, to_callback, warn
from mlcube_remote.api.results import RunResult
from mlcube_remote.app.options import (
    DEFAULT_STOP_GRACE_S,
    ContainerOptions,
    JobFilter,
    RunOptions,
)
from mlcube_remote.cube.model import Cube
from mlcube_remote.errors import UsageError

if TYPE_CHECKING:
    from mlcube_remote.dispatch.connections import Connect
    from mlcube_remote.transport.borrowed import CallersConnection


def run(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names = (),
    tasks: Names,
    connection: CallersConnection | None = None,
    parameters: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    env: Names = (),
    gpus: str | int | None = None,
    memory: str | None = None,
    cpu: str | None = None,
    network: str | None = None,
    trust_cube: bool = False,
    ship_image: str | None = None,
    copy_links: bool = False,
    slurm: Mapping[str, Names] | None = None,
    timeout: float | None = None,
    grace: float = DEFAULT_STOP_GRACE_S,
    allow_missing: Names = (),
    fresh_outputs: bool = False,
    sweep: Mapping[str, Iterable[object]] | None = None,
    sweep_file: str | os.PathLike[str] | None = None,
    shard: str | None = None,
    retries: int | None = None,
    sample: int | tuple[int, int] | None = None,
    detach: bool = False,
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    run_id: str | None = None,
    name: str = "",
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run tasks of a cube on hosts, and pull their outputs; Ctrl-C stops the jobs.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        hosts: Names, groups, ranges and exclusions, as ``--host`` takes them.
        tasks: Tasks to run, in order.
        connection: A ``fabric.Connection`` to run on, instead of ``hosts``. It stays open. If
            Fabric itself opened it, Fabric's rules for host keys apply: by default it accepts a key
            that is new or has changed. Such a connection is not opened again if it breaks; one of
            ``mlcube_remote.fabric`` is.
        parameters: Values for the tasks' parameters; ``local:PATH`` is on this machine.
        overrides: Settings of ``mlcube.yaml`` to change, as with ``-P``.
        workspace: Another workspace than the cube's own.
        platform: ``docker``, ``podman``, ``singularity`` or ``apptainer``.
        inventory: The file with the hosts; by default found as by the command line.
        env: Variables of this process to pass to the containers; their values are never shown.
        gpus: GPUs for the tasks: a number, ``all`` or ``device=0,1``.
        memory: Memory limit, such as ``4g``.
        cpu: CPUs that the container may use, such as ``0-3``.
        network: Network of the container.
        trust_cube: Whether the cube may ask for anything beyond its own.
        ship_image: The host that builds or pulls the image once, for all others; ``local``: here.
        copy_links: Also send data outside the cube to which links in inputs lead.
        slurm: What to ask Slurm for, with the keys of ``slurm:`` in hosts.yaml.
        timeout: Time limit per task in seconds; enforced on the host.
        grace: Seconds between SIGTERM and SIGKILL when a task is stopped.
        allow_missing: Inputs that may be missing; the task gets a path without a file.
        fresh_outputs: Whether a task fails that succeeds and leaves one of its outputs as it was.
        sweep: Name → values: one job per combination, on whichever host is free. Ranges are texts
            such as ``log:1e-4..1e-1:5``, as ``--sweep`` takes them.
        sweep_file: The same from a YAML file.
        shard: ``NAME=LIST``: lines of a file, or items with commas, in one piece per host.
        retries: Maximum retries of such a job after a host failure.
        sample: Run so many random points of the sweep. ``(20, 7)`` are twenty points of the seed 7:
            the same in each run.
        detach: Return as soon as every job has started.
        wait: Wait for a workspace or GPUs that other runs hold.
        parallel: Maximum number of hosts in use at the same time.
        max_failures: Cancel the other jobs if so many fail.
        name: A name for the run, by which other commands find it.
        run_id: Continue this run; jobs that it has started are not started twice.
        password: For the login, if there is no key or agent.
        passphrase: Of the private keys, if there is no agent.
        on_event: Takes the events.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    options = RunOptions(
        cube=arguments.cube(mlcube, overrides, workspace),
        tasks=arguments.tasks(
            tasks, parameters, env, timeout, grace, allow_missing, fresh_outputs, copy_links, slurm
        ),
        container=arguments.container(platform, network, gpus, memory, cpu, trust_cube, ship_image),
        sweep=arguments.sweep(sweep, sweep_file, shard, retries, sample),
        run_id=run_id,
        name=name,
        start=arguments.start(parallel, max_failures, detach=detach, wait=wait),
    )
    return _run_on(hosts, inventory, password, passphrase, options, on_event, connection)


def rerun(
    run: str,
    *,
    failed: bool = True,
    hosts: Names = (),
    gone: Names = (),
    retries: int | None = None,
    fresh_outputs: bool | None = None,
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run jobs of a run again, with the arguments that it was started with, into the same results.

    Jobs that may still be running are skipped, and are not in the result. During the call the
    working directory is the one in which the run was started.

    Args:
        run: Its name, a part of its id, or ``last``; ``RUN/JOB`` is one of its jobs.
        failed: Only jobs that did not succeed; one that succeeded on its host and only lacks its
            outputs here is not run again: :func:`pull` them.
        hosts: Only jobs on these of the run's hosts.
        gone: Hosts that are gone for good: their jobs are treated as lost, and run again.
        retries: As for :func:`run`; ``None``: as recorded.
        fresh_outputs: As for :func:`run`; ``None``: as recorded.
        wait: As for :func:`run`, like all that follow.
        parallel: See there.
        max_failures: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: This machine did not start the run, or its cube or hosts have changed.
    """
    which = JobFilter(failed=failed, hosts=arguments.to_tuple(hosts), gone=arguments.to_tuple(gone))
    choice = app.rerun.choose_jobs(run, which, warn)
    if unpulled := choice.selection.unpulled:
        warn(f"not run again: {', '.join(unpulled)} succeeded; pull({choice.run_id!r})")
    if not choice.selection.attempts:
        return RunResult(run_id=choice.run_id, jobs=())
    start = arguments.start(parallel, max_failures, wait=wait)
    options = choice.options(start, retries=retries, fresh_outputs=fresh_outputs)
    where = arguments.access((), None, password, passphrase)
    with choice.in_recorded_folder():
        return _run(options, where, on_event)


def configure(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names = (),
    connection: CallersConnection | None = None,
    overrides: Mapping[str, str] | None = None,
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Upload a cube to hosts, and pull or build its image; arguments as for :func:`run`.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    options = RunOptions(
        cube=arguments.cube(mlcube, overrides),
        container=ContainerOptions(platform=platform),
        configure_only=True,
    )
    return _run_on(hosts, inventory, password, passphrase, options, on_event, connection)


def describe(
    mlcube: str | os.PathLike[str] = ".",
    *,
    overrides: Mapping[str, str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
) -> Cube:
    """Return a cube: its tasks, parameters and platforms.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        overrides: Settings of ``mlcube.yaml`` to change, as with ``-P``.
        workspace: Another workspace than the cube's own.

    Raises:
        CubeError: ``mlcube.yaml`` is missing, or is wrong.
    """
    return app.request.load_cube(arguments.cube(mlcube, overrides, workspace))


def _run_on(
    hosts: Names,
    inventory: str | os.PathLike[str] | None,
    password: str | None,
    passphrase: str | None,
    options: RunOptions,
    on_event: OnEvent | None,
    connection: CallersConnection | None,
) -> RunResult:
    """Run on the hosts that the caller named, or on the connection that the caller opened."""
    where, connect = arguments.access(hosts, inventory, password, passphrase), None
    if connection is not None:
        where, connect = choose_connection(connection, where)
        if options.container.ship_image:
            raise UsageError(
                "connection and ship_image cannot be combined",
                hint="name the hosts instead: hosts='gpu01,gpu02'",
            )
    return _run(attrs.evolve(options, hosts=where.hosts), where, on_event, connect)


def _run(
    options: RunOptions, where: Access, on_event: OnEvent | None, connect: Connect | None = None
) -> RunResult:
    report = app.run.run(options, where.credentials, to_callback(on_event), warn, connect)
    return RunResult.of(report)
