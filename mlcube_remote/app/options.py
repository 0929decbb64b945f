# SPDX-License-Identifier: Apache-2.0
"""Options of a run, typed and with their defaults.

The command line, the Python API and MLCube's runner build the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import attrs

from mlcube_remote.commands.model import Options
from mlcube_remote.secret import Secret
from mlcube_remote.transport.questions import Answers

DEFAULT_RETRIES = 3
DEFAULT_RETRY_ON = frozenset({"host"})
DEFAULT_PARALLEL = 32
DEFAULT_RECONNECT_TIMEOUT_S = 600.0
DEFAULT_STOP_GRACE_S = 10.0
DEFAULT_CLEAN_AGE_S = 7 * 86_400.0


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
    """Secrets for the login."""

    password: Secret | None = None
    passphrase: Secret | None = None
    """The passphrase of the private keys."""
    answers: Answers = attrs.field(factory=Answers)
    """Asks the user what hosts ask for, once; by default, the user is not asked."""


AskCredentials = Callable[[], Credentials]
"""Returns the secrets, and may ask the user; called once, before the first connection."""


@attrs.frozen(kw_only=True)
class TaskOptions:
    """Which tasks, and what they get."""

    names: tuple[str, ...] = ()
    """Tasks to run, in order; empty: the only task of the cube."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """Parameter → value; ``local:PATH`` is a path on this machine."""
    env: tuple[str, ...] = ()
    """Names of variables of this process to pass to the container."""
    timeout: float | None = None
    """Time limit of each task, in seconds; ``None``: no limit."""
    grace: float = DEFAULT_STOP_GRACE_S
    """Seconds between SIGTERM and SIGKILL when a task is stopped."""
    allow_missing: tuple[str, ...] = ()
    """Inputs that may be missing."""
    fresh_outputs: bool = False
    """Whether a task fails that ends with 0 and leaves a declared output as it was."""
    copy_links: bool = False
    """Whether to send what links in inputs lead to."""
    slurm: tuple[str, ...] = ()
    """What to ask Slurm for, as ``KEY=VALUE``; the keys are those of ``slurm:`` in hosts.yaml."""


@attrs.frozen(kw_only=True)
class ContainerOptions:
    """How containers run."""

    platform: str | None = None
    """An engine, or a platform of ``~/mlcube.yaml``; ``None``: the host's default."""
    engine: Options = Options()
    """Resources and restrictions, which are passed to the engine."""
    trust_cube: bool = False
    """Whether the cube may ask for anything beyond its own (see :mod:`mlcube_remote.trust`)."""
    ship_image: str | None = None
    """The host that builds or pulls the image for all others; ``None``: as the inventory says."""


@attrs.frozen(kw_only=True)
class SweepOptions:
    """Jobs that share a pool of hosts: a sweep, or the shards of a list."""

    axes: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Swept name → its values."""
    file: str | None = None
    """Path of a YAML file with more values, or with a list of points."""
    shard: str | None = None
    """``NAME=LIST``: a list to split into one piece per host."""
    retries: int = DEFAULT_RETRIES
    """Maximum number of retries per job."""
    retry_on: frozenset[str] = DEFAULT_RETRY_ON
    """Failures after which a job is retried: ``host`` and ``task``."""

    sample: int | None = None
    """Number of points to choose at random; ``None``: every combination."""
    seed: int | None = None
    """The same seed gives the same points; ``None``: a new one, which is recorded."""

    @property
    def is_pool(self) -> bool:
        """Whether a job can run on any free host."""
        return bool(self.axes or self.file or self.shard)


@attrs.frozen(kw_only=True)
class StartOptions:
    """How this command starts the jobs."""

    detach: bool = False
    """Whether to return as soon as every job has started."""
    wait: bool = False
    """Whether to wait for a workspace or GPUs that other runs hold."""
    max_failures: int | None = None
    """Number of failed jobs after which the others are cancelled; ``None``: no limit."""
    parallel: int = DEFAULT_PARALLEL
    """Maximum number of hosts in use at the same time."""


@attrs.frozen(kw_only=True)
class RunOptions:
    """All options of a ``run`` or ``configure`` command."""

    hosts: HostOptions = HostOptions()
    cube: CubeOptions = CubeOptions()
    tasks: TaskOptions = TaskOptions()
    container: ContainerOptions = ContainerOptions()
    sweep: SweepOptions = SweepOptions()
    start: StartOptions = StartOptions()
    run_id: str | None = None
    """An earlier run to continue; ``None``: a new run."""
    name: str = ""
    """A name for the run, by which other commands find it."""
    attempts: Mapping[str, int] | None = None
    """For a rerun: job → number of its next attempt. ``None``: all jobs, for the first time."""
    command: tuple[str, ...] = ()
    """The command line, without secrets, for the record; empty: there is none."""
    configure_only: bool = False
    """Whether to stop before any task."""
    reconnect_timeout: float = DEFAULT_RECONNECT_TIMEOUT_S
    """Seconds after which reconnecting to a host is abandoned."""


@attrs.frozen(kw_only=True)
class JobFilter:
    """Which jobs of an earlier run to run again."""

    failed: bool = False
    """Whether to skip jobs that succeeded."""
    hosts: tuple[str, ...] = ()
    """Only jobs on these hosts: names and ranges; empty: on any host."""
    gone: tuple[str, ...] = ()
    """Hosts that are gone for good: their jobs count as lost."""
    jobs: tuple[str, ...] = ()
    """Only these jobs: names, numbers, hosts and ranges; empty: all."""


class Sensible(Enum):
    """Which run a command without RUN can mean."""

    LIVE = "live"
    """One that may still run, because the command has no effect on others."""
    LIVE_OR_NEWEST = "live or newest"
    """The newest, if no older one may still run."""
    NEWEST = "newest"
