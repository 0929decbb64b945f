# SPDX-License-Identifier: Apache-2.0
"""``hosts check``: would a run work on this host? Each failure names the command that fixes it."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import attrs

from mlcube_remote.budgets import parse_whole
from mlcube_remote.commands.sif import find_program
from mlcube_remote.cube.system_settings import NO_SYSTEM_SETTINGS, SystemSettings, UserPlatform
from mlcube_remote.errors import (
    AuthenticationError,
    HostError,
    HostKeyError,
    HostUnfitError,
    UnreachableError,
    UsageError,
)
from mlcube_remote.facts import gpus
from mlcube_remote.facts.check_result import CheckResult, HostCheck
from mlcube_remote.facts.engine_errors import engine_error, missing_program_error
from mlcube_remote.facts.engine_kind import is_podman
from mlcube_remote.facts.node_check import check_compute_node
from mlcube_remote.facts.probe import (
    HostFacts,
    missing_tools_error,
    probe_host,
    require_rsync,
)
from mlcube_remote.facts.slurm_check import check_slurm
from mlcube_remote.files.rsync import format_version, local_version, outdated_warning
from mlcube_remote.formatting import readable_size
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.plan.assignment import named_platform
from mlcube_remote.plan.slurm_image import image_builder
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection

LOW_DISK = 2 * 1000**3
"""Bytes of free disk below which most images do not fit."""


_CONNECTING = ("reachable", "host key", "login")
_STOPPED_AT: tuple[tuple[type[HostError], str], ...] = (
    (UnreachableError, "reachable"),
    (HostKeyError, "host key"),
    (AuthenticationError, "login"),
)


def check_all(
    hosts: Iterable[Host],
    connect: Callable[[Host], Connection],
    *,
    platform: str | None = None,
    system: SystemSettings = NO_SYSTEM_SETTINGS,
    parallel: int = 32,
    runs_job: bool = False,
) -> tuple[HostCheck, ...]:
    """Check hosts in parallel, and return the results in the same order.

    Args:
        hosts: The hosts.
        connect: Opens a connection.
        platform: The platform to check; ``None``: the one in the host's inventory entry.
        system: The user's own platforms.
        parallel: Maximum number of hosts checked at the same time.
        runs_job: Whether to run a short job on a compute node of each Slurm cluster.

    Raises:
        UsageError: The platform does not exist, or the user's settings of it are wrong.
    """
    todo = list(hosts)
    engines = [named_platform(platform or host.platform or "docker", host, system) for host in todo]
    with ThreadPoolExecutor(max(1, min(parallel, len(todo)))) as pool:
        return tuple(pool.map(partial(check_host, connect, runs_job=runs_job), todo, engines))


def check_host(
    connect: Callable[[Host], Connection],
    host: Host,
    platform: UserPlatform,
    *,
    runs_job: bool = False,
) -> HostCheck:
    """Check one host. Problems of the host are results, not exceptions."""
    checks: list[CheckResult] = []
    started = time.monotonic()
    try:
        connection = connect(host)
    except HostError as problem:
        checks += _connect_checks(problem)
        return HostCheck(host=host.name, checks=tuple(checks), exit_code=problem.exit_code)
    duration = f"{(time.monotonic() - started) * 1000:.0f} ms"
    if not host.is_local:
        checks += [CheckResult(name=name, passed=True, detail="ok") for name in _CONNECTING]
        checks[-1] = attrs.evolve(checks[-1], detail=f"ok, {duration}")
    with closing(connection):
        try:
            _check_connected(connection, host, platform, checks, runs_job=runs_job)
        except HostError as problem:
            checks.append(
                CheckResult(name="shell", passed=False, detail=problem.reason, hint=problem.hint)
            )
    code = 0 if all(check.passed for check in checks) else HostUnfitError.exit_code
    return HostCheck(host=host.name, checks=tuple(checks), exit_code=code)


def check_client() -> HostCheck:
    """Check the programs of this machine that runs on other hosts need."""
    checks = [CheckResult(name="ssh", passed=True, detail=_ssh_version())]
    try:
        version = format_version(local_version())
        rsync = CheckResult(name="rsync", passed=True, detail=version, hint=outdated_warning())
    except UsageError as problem:
        detail = problem.message
        rsync = CheckResult(name="rsync", passed=False, detail=detail, hint=problem.hint)
    code = 0 if rsync.passed else UsageError.exit_code
    return HostCheck(host="this machine", checks=(*checks, rsync), exit_code=code)


def _ssh_version() -> str:
    try:
        done = subprocess.run(
            ["ssh", "-V"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not found, so Include and Match in ~/.ssh/config are not read"
    return (done.stderr or done.stdout).partition(",")[0].strip()


def _connect_checks(problem: HostError) -> tuple[CheckResult, ...]:
    """Return the checks up to the one that failed with ``problem``."""
    at = next((name for kind, name in _STOPPED_AT if isinstance(problem, kind)), _CONNECTING[0])
    passed = _CONNECTING[: _CONNECTING.index(at)]
    return (
        *(CheckResult(name=name, passed=True, detail="ok") for name in passed),
        CheckResult(name=at, passed=False, detail=problem.reason, hint=problem.hint),
    )


def _check_connected(
    connection: Connection,
    host: Host,
    platform: UserPlatform,
    checks: list[CheckResult],
    *,
    runs_job: bool,
) -> None:
    # This fails without a usable shell; otherwise the next check would blame the directory.
    if missing := connection.call("mlcr_print_missing_programs").text.split():
        problem = missing_tools_error(host.name, missing)
        checks.append(
            CheckResult(name="programs", passed=False, detail=problem.reason, hint=problem.hint)
        )
        return
    checks.append(CheckResult(name="programs", passed=True, detail="ok"))
    try:
        facts = probe_host(connection, remote_root=host.remote_root, cube_room="")
    except HostUnfitError as problem:
        checks.append(
            CheckResult(name="directory", passed=False, detail=problem.reason, hint=problem.hint)
        )
        return
    checks.append(CheckResult(name="directory", passed=True, detail=facts.root))
    try:
        require_rsync(connection, facts)
        checks.append(CheckResult(name="rsync", passed=True, detail=facts.rsync))
    except HostUnfitError as problem:
        checks.append(
            CheckResult(name="rsync", passed=False, detail=problem.reason, hint=problem.hint)
        )
    checks.append(_engine(connection, host, platform, facts))
    if host.launcher is Launcher.SLURM:
        checks += check_slurm(connection, host, facts.root)
        if runs_job:
            checks += check_compute_node(connection, host, facts.root, _node_engine(host, platform))
    else:
        checks.append(CheckResult(name="gpu", passed=True, detail=str(gpus.ask_gpus(connection))))
    checks.append(_disk(connection, facts.root))


def _node_engine(host: Host, chosen: UserPlatform) -> str:
    """Return the program that runs tasks on compute nodes."""
    name = chosen.platform
    configured = host.settings.get(name, {}).get(name) or chosen.settings.get(name, name)
    return str(configured).rpartition(" ")[2]


def _disk(connection: Connection, root: str) -> CheckResult:
    kibibytes = connection.call("mlcr_print_free_space", root).text.strip()
    try:
        free = parse_whole(kibibytes) * 1024
    except ValueError:
        free = 0
    passed = free >= LOW_DISK
    return CheckResult(
        name="disk",
        passed=passed,
        detail=f"{readable_size(free)} free at {root}",
        hint=None if passed else "free some space, or set remote_root to a larger disk",
    )


def _engine(
    connection: Connection, host: Host, chosen: UserPlatform, facts: HostFacts
) -> CheckResult:
    platform = chosen.platform
    default = chosen.settings.get(platform, platform)
    configured = str(host.settings.get(platform, {}).get(platform) or default)
    try:
        engine = tuple(shlex.split(configured))
    except ValueError as error:
        return CheckResult(name="engine", passed=False, detail=f"{platform}: {error}: {configured}")
    origin = "" if engine == (platform,) else f", as configured: {configured}"
    if platform in CONTAINER_ENGINES:
        reply = connection.call("mlcr_print_server_version", *engine)
    else:
        builder = image_builder(host, platform)
        if builder and not facts.programs:
            if host.slurm.get("image_build") == "job":
                detail = "not on the login node: images are built in a job of their own"
                return CheckResult(name="engine", passed=True, detail=detail)
            engine = (*builder, *engine)
        elif engine == (platform,):
            if not facts.programs:
                return _unfit(missing_program_error(host.name, platform))
            engine = (find_program(platform, facts.programs),)
            origin = "" if engine == (platform,) else f", instead of {platform}"
        reply = connection.call("mlcr_print_client_version", *engine)
    if not reply.ok:
        return _unfit(engine_error(connection, platform, engine, reply))
    # Apptainer and Singularity print their name before the version.
    version = reply.text.strip()
    has_name = platform not in CONTAINER_ENGINES and version[:1].isalpha()
    name = platform
    if platform == "docker" and is_podman(connection, engine):
        name, origin = "podman", f"{origin}, behind the name {engine[-1]}"
    detail = version if has_name else f"{name} {version}"
    return CheckResult(name="engine", passed=True, detail=f"{detail}{origin}")


def _unfit(problem: HostUnfitError) -> CheckResult:
    return CheckResult(name="engine", passed=False, detail=problem.reason, hint=problem.hint)
