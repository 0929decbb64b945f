# SPDX-License-Identifier: Apache-2.0
"""Options of a run, typed and with their defaults.

The command line, the Python API and MLCube's runner build the same values.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mlcube_remote.secret import Secret

DEFAULT_RETRIES = 3
DEFAULT_PARALLEL = 32
DEFAULT_RECONNECT_TIMEOUT = 600.0
"""Seconds."""
DEFAULT_RETRY_ON = ("host",)


@attrs.frozen(kw_only=True)
class CubeOptions:
    """Which cube, and with which changes."""

    path: str = "."
    """Directory of the cube, or its YAML file."""
    overrides: tuple[str, ...] = ()
    """Settings of ``mlcube.yaml`` to change, as ``KEY=VALUE``."""
    workspace: str | None = None
    """Directory of another workspace than the cube's own."""


@attrs.frozen(kw_only=True)
class HostOptions:
    """Which hosts, from which inventory."""

    names: tuple[str, ...] = ()
    """Names, groups, globs, ranges and exclusions."""
    where: tuple[str, ...] = ()
    """Labels that the hosts must have, as ``LABEL=VALUE``."""
    inventory: str | None = None
    """Path of the inventory; ``None``: the first one found in the usual places."""


@attrs.frozen(kw_only=True)
class Credentials:
    """What the user typed to log in."""

    password: Secret | None = None
    passphrase: Secret | None = None
    """Of the private keys."""


@attrs.frozen(kw_only=True)
class ContainerOptions:
    """How the container engine runs the tasks; ``None``: as the cube and the host say."""

    platform: str | None = None
    network: str | None = None
    security: str | None = None
    gpus: str | None = None
    """A number, ``all`` or ``device=0,1``."""
    memory: str | None = None
    cpu: str | None = None
    mount: str | None = None
    """``ro`` or ``rw``: how inputs are mounted."""
    trust_cube: bool = False
    """Whether ``mlcube.yaml`` may ask the engine for privileges."""
    env: tuple[str, ...] = ()
    """Names of variables of this process to pass to the container."""


@attrs.frozen(kw_only=True)
class SweepOptions:
    """Jobs that share a pool of hosts: a sweep, or the shards of a list."""

    axes: tuple[str, ...] = ()
    """``NAME=VALUE,VALUE`` for each swept name."""
    file: str | None = None
    """Path of a YAML file with values or points."""
    shard: str | None = None
    """``NAME=LIST``: a list to split into one piece for each host."""
    retries: int = DEFAULT_RETRIES
    """Maximum number of retries per job."""
    retry_on: tuple[str, ...] = ()
    """``host`` and ``task``: failures after which a job is retried; empty: the default."""

    @property
    def is_pool(self) -> bool:
        """Whether jobs run on whichever host is free."""
        return bool(self.axes or self.file or self.shard)


@attrs.frozen(kw_only=True)
class StartOptions:
    """How this command starts the jobs."""

    detach: bool = False
    """Whether to return as soon as every job has started."""
    wait: bool = False
    """Whether to wait for a workspace or GPUs that other runs hold."""
    max_failures: int | None = None
    """Number of failed jobs after which the others are cancelled."""
    parallel: int = DEFAULT_PARALLEL
    """Maximum number of hosts in use at the same time."""


@attrs.frozen(kw_only=True)
class RunOptions:
    """Everything that a ``run`` or ``configure`` command is asked."""

    hosts: HostOptions = HostOptions()
    cube: CubeOptions = CubeOptions()
    tasks: tuple[str, ...] = ()
    """Names, or names with commas between."""
    parameters: tuple[str, ...] = ()
    """``NAME=VALUE`` for each parameter with another value."""
    container: ContainerOptions = ContainerOptions()
    sweep: SweepOptions = SweepOptions()
    timeout: float | None = None
    """Time limit of each task, in seconds."""
    run_id: str | None = None
    """An earlier run to continue; ``None``: a new one."""
    attempts: Mapping[str, int] | None = None
    """For a rerun: job → number of its next attempt. ``None``: all jobs, for the first time."""
    configure_only: bool = False
    """Whether to stop before any task."""
    start: StartOptions = StartOptions()
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT
    """Seconds after which reconnecting to a host is abandoned."""
