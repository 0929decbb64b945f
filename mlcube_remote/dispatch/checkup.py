# SPDX-License-Identifier: Apache-2.0
"""``hosts check``: would a run work there? Every failure comes with the command that mends it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import attrs

from mlcube_remote.commands.sif import find_program
from mlcube_remote.cube.system_settings import NO_SYSTEM_SETTINGS, SystemSettings, UserPlatform
from mlcube_remote.dispatch import gpus
from mlcube_remote.dispatch.assign import named_platform
from mlcube_remote.dispatch.preflight import Facts, engine_problem, no_program, probe, require_rsync
from mlcube_remote.dispatch.rsync import readable_size
from mlcube_remote.errors import (
    AuthenticationError,
    HostError,
    HostKeyError,
    HostUnfitError,
    UnreachableError,
)
from mlcube_remote.inventory.model import Host
from mlcube_remote.platforms import CONTAINER_ENGINES
from mlcube_remote.transport.base import Connection

LOW_DISK = 2 * 1000**3
"""Bytes; with less free, most images would not fit."""


@attrs.frozen(kw_only=True)
class Check:
    """One question to a host, and its answer."""

    name: str
    """``reachable``, ``host key``, ``login``, ``rsync``, …"""
    passed: bool
    detail: str
    hint: str | None = None


@attrs.frozen(kw_only=True)
class Checkup:
    """All answers of one host; the first failed one usually hides what comes after it."""

    host: str
    checks: tuple[Check, ...]
    exit_code: int = 0
    """0, or what a run on the host would have ended with."""

    @property
    def passed(self) -> bool:
        """Whether a run would work there."""
        return all(check.passed for check in self.checks)


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
) -> tuple[Checkup, ...]:
    """Check hosts at once and return what each answered, in order.

    Args:
        hosts: What to check.
        connect: Opens a connection.
        platform: Which engine to ask for, instead of the one of the host's inventory entry.
        system: The user's own platforms.
        parallel: How many at a time.

    Raises:
        UsageError: There is no such platform, or the user's own file is wrong about it.
    """
    todo = list(hosts)
    engines = [named_platform(platform or host.platform or "docker", host, system) for host in todo]
    with ThreadPoolExecutor(max(1, min(parallel, len(todo)))) as pool:
        return tuple(pool.map(partial(check_host, connect), todo, engines))


def check_host(
    connect: Callable[[Host], Connection], host: Host, platform: UserPlatform
) -> Checkup:
    """Check one host; never raises for what is wrong with it."""
    checks: list[Check] = []
    began = time.monotonic()
    try:
        connection = connect(host)
    except HostError as problem:
        return Checkup(host=host.name, checks=_refused(problem), exit_code=problem.exit_code)
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    if not host.is_local:
        checks += [Check(name=name, passed=True, detail="ok") for name in _CONNECTING]
        checks[-1] = attrs.evolve(checks[-1], detail=f"ok, {took}")
    with closing(connection):
        try:
            _ask(connection, host, platform, checks)
        except HostError as problem:
            checks.append(
                Check(name="shell", passed=False, detail=problem.reason, hint=problem.hint)
            )
    code = 0 if all(check.passed for check in checks) else HostUnfitError.exit_code
    return Checkup(host=host.name, checks=tuple(checks), exit_code=code)


def _refused(problem: HostError) -> tuple[Check, ...]:
    at = next(
        (name for kind, name in _STOPPED_AT if isinstance(problem, kind)),
        _CONNECTING[0],
    )
    passed = _CONNECTING[: _CONNECTING.index(at)]
    return (
        *(Check(name=name, passed=True, detail="ok") for name in passed),
        Check(name=at, passed=False, detail=problem.reason, hint=problem.hint),
    )


def _ask(connection: Connection, host: Host, platform: UserPlatform, checks: list[Check]) -> None:
    # Without a usable shell this fails, and nothing is known of the directory.
    connection.call("mlcr_whoami")
    try:
        facts = probe(connection, remote_root=host.remote_root, cube_room="")
    except HostUnfitError as problem:
        checks.append(
            Check(name="directory", passed=False, detail=problem.reason, hint=problem.hint)
        )
        return
    checks.append(Check(name="directory", passed=True, detail=facts.root))
    try:
        require_rsync(connection, facts)
        checks.append(Check(name="rsync", passed=True, detail=facts.rsync))
    except HostUnfitError as problem:
        checks.append(Check(name="rsync", passed=False, detail=problem.reason, hint=problem.hint))
    checks.append(_engine(connection, host, platform, facts))
    checks.append(Check(name="gpu", passed=True, detail=str(gpus.ask(connection))))
    checks.append(_disk(connection, facts.root))


def _disk(connection: Connection, root: str) -> Check:
    told = connection.call("mlcr_disk", root).text.strip()
    free = int(told) * 1024 if told.isdigit() else 0
    passed = free >= LOW_DISK
    return Check(
        name="disk",
        passed=passed,
        detail=f"{readable_size(free)} free at {root}",
        hint=None if passed else "free some space, or set remote_root to a larger disk",
    )


def _engine(connection: Connection, host: Host, chosen: UserPlatform, facts: Facts) -> Check:
    platform = chosen.platform
    everywhere = chosen.settings.get(platform, platform)
    configured = str(host.settings.get(platform, {}).get(platform) or everywhere)
    try:
        engine = tuple(shlex.split(configured))
    except ValueError as error:
        return Check(name="engine", passed=False, detail=f"{platform}: {error}: {configured}")
    whose = "" if engine == (platform,) else f", as configured: {configured}"
    if platform in CONTAINER_ENGINES:
        reply = connection.call("mlcr_engine", *engine)
    else:
        if engine == (platform,):
            if not facts.programs:
                return _unfit(no_program(host.name, platform))
            engine = (find_program(platform, facts.programs),)
            whose = "" if engine == (platform,) else f", in the place of {platform}"
        reply = connection.call("mlcr_version", *engine)
    if not reply.ok:
        return _unfit(engine_problem(connection, platform, engine, reply))
    # Of Apptainer and Singularity the answer begins with the name.
    detail = reply.text.strip()
    named = platform not in CONTAINER_ENGINES and detail[:1].isalpha()
    told = detail if named else f"{platform} {detail}"
    return Check(name="engine", passed=True, detail=f"{told}{whose}")


def _unfit(problem: HostUnfitError) -> Check:
    return Check(name="engine", passed=False, detail=problem.reason, hint=problem.hint)
