# SPDX-License-Identifier: Apache-2.0
"""Begin runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from mlcube_remote.api import arguments
from mlcube_remote.api.arguments import Names, OnEvent
from mlcube_remote.api.results import RunResult
from mlcube_remote.cube.model import Cube


def run(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names,
    tasks: Names,
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
    timeout: float | None = None,
    sweep: Mapping[str, Iterable[object]] | None = None,
    sweep_file: str | os.PathLike[str] | None = None,
    shard: str | None = None,
    retries: int | None = None,
    detach: bool = False,
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    run_id: str | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run tasks of a cube on hosts, and bring home what they made.

    Ctrl-C stops the jobs; the call then returns what they came to.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        hosts: Names, groups, ranges and exclusions, as ``--host`` takes them.
        tasks: Tasks to run, in order.
        parameters: Values for the tasks' parameters; ``local:PATH`` is on this machine.
        overrides: Settings of ``mlcube.yaml`` with other values, as ``-P`` gives them.
        workspace: Another workspace than the cube's own.
        platform: ``docker``, ``podman``, ``singularity`` or ``apptainer``.
        inventory: The file with the hosts; else found as the command line does.
        env: Variables of this process to hand to the containers; their values are shown nowhere.
        gpus: GPUs to hand over: a number, ``all`` or ``device=0,1``.
        memory: Memory limit, such as ``4g``.
        cpu: CPUs that the container may use, such as ``0-3``.
        network: Network of the container.
        trust_cube: Whether ``mlcube.yaml`` itself may ask the engine for privileges.
        timeout: Seconds that each task may take; its host ends it after that.
        sweep: Name → values: a job for each combination, on whichever of the hosts is free.
        sweep_file: The same from a YAML file.
        shard: ``NAME=LIST``: a file's lines, or items with commas, split into a piece per host.
        retries: How often a job of these is begun again when its host was lost or unfit.
        detach: Return as soon as every job has been started.
        wait: Wait for a workspace, or GPUs, that other runs have.
        parallel: Hosts that are worked on at once.
        max_failures: Cancel the other jobs when so many have failed.
        run_id: Go on with this run: what it started before is not started again.
        password: For the login, where no key or agent serves.
        passphrase: Of the private keys, where no agent serves.
        on_event: Is told what happens.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415 - when it is needed
    from mlcube_remote.cli.run import run as command  # noqa: PLC0415

    given = {
        **arguments.defaults(command),
        **arguments.where(hosts, inventory, password, passphrase),
        **arguments.cube(mlcube, overrides, workspace),
        "tasks": arguments.names(tasks),
        "arguments": arguments.pairs(parameters),
        "platform": platform,
        "env_names": arguments.names(env),
        "gpus": None if gpus is None else str(gpus),
        "memory": memory,
        "cpu": cpu,
        "network": network,
        "trust_cube": trust_cube,
        "timeout": timeout,
        "sweeps": arguments.sweeps(sweep),
        "sweep_file": None if sweep_file is None else os.fspath(sweep_file),
        "shard": shard,
        "detach": detach,
        "wait": wait,
        "max_failures": max_failures,
        "run_id": run_id,
        "reporter": arguments.Listener(on_event),
    }
    counts = {"parallel": parallel, "retries": retries}
    given |= {name: count for name, count in counts.items() if count is not None}
    request, found = prepare(given)
    return RunResult(run_id=request.run_id, jobs=perform(request, found, given))


def rerun(
    run: str,
    *,
    failed: bool = True,
    hosts: Names = (),
    gone: Names = (),
    retries: int | None = None,
    wait: bool = False,
    parallel: int | None = None,
    max_failures: int | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run jobs of a run again, with the arguments that it was begun with, into the same results.

    Jobs that may still be at work are left alone, and are not in the result. For the time of the
    call the working directory is the one in which the run was begun.

    Args:
        run: Its id, or enough of its beginning or end.
        failed: Only jobs that did not succeed.
        hosts: Only jobs on these of the run's hosts.
        gone: Hosts that will not come back: what may be at work there is lost, and run again.
        retries: As for :func:`run`; ``None``: as the run was begun.
        wait: As for :func:`run`, like all that follow.
        parallel: See there.
        max_failures: See there.
        password: See there.
        passphrase: See there.
        on_event: See there.

    Raises:
        MLCubeRemoteError: The run was not begun here, or what it was begun with has changed.
    """
    from mlcube_remote.cli.rerun import choose_again  # noqa: PLC0415
    from mlcube_remote.cli.rerun import rerun as command  # noqa: PLC0415
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415

    asked = choose_again(
        run, failed=failed, hosts=arguments.names(hosts), gone=arguments.names(gone)
    )
    if not asked.again.attempts:
        return RunResult(run_id=asked.run_id, jobs=())
    given = asked.options(
        {
            **arguments.defaults(command, without=("run_text", "failed", "only_hosts", "gone")),
            **arguments.logins(password, passphrase),
            "retries": retries,
            "wait": wait,
            "max_failures": max_failures,
            "reporter": arguments.Listener(on_event),
        }
    )
    if parallel is not None:
        given["parallel"] = parallel
    with asked.where_it_began():
        request, found = prepare(given, again=asked.again.attempts)
        return RunResult(run_id=asked.run_id, jobs=perform(request, found, given))


def configure(
    mlcube: str | os.PathLike[str] = ".",
    *,
    hosts: Names,
    overrides: Mapping[str, str] | None = None,
    platform: str | None = None,
    inventory: str | os.PathLike[str] | None = None,
    password: str | None = None,
    passphrase: str | None = None,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Send a cube to hosts and make its image ready there; arguments as for :func:`run`.

    Raises:
        MLCubeRemoteError: A mistake in the arguments or in a file; no host was touched.
    """
    from mlcube_remote.cli.run import perform, prepare  # noqa: PLC0415
    from mlcube_remote.cli.run import run as command  # noqa: PLC0415

    given = {
        **arguments.defaults(command),
        **arguments.where(hosts, inventory, password, passphrase),
        **arguments.cube(mlcube, overrides, None),
        "platform": platform,
        "reporter": arguments.Listener(on_event),
    }
    request, found = prepare(given, configure_only=True)
    return RunResult(run_id=request.run_id, jobs=perform(request, found, given))


def describe(
    mlcube: str | os.PathLike[str] = ".",
    *,
    overrides: Mapping[str, str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
) -> Cube:
    """Return a cube: its tasks, parameters and platforms.

    Args:
        mlcube: Directory of the cube, or its YAML file.
        overrides: Settings of ``mlcube.yaml`` with other values, as ``-P`` gives them.
        workspace: Another workspace than the cube's own.

    Raises:
        CubeError: ``mlcube.yaml`` is not there, or is wrong.
    """
    from mlcube_remote.cube.load import load  # noqa: PLC0415 - imports omegaconf

    given = arguments.cube(mlcube, overrides, workspace)
    return load(given["mlcube"], overrides=given["overrides"], workspace=given["workspace"])
