# SPDX-License-Identifier: Apache-2.0
"""What the user requested, and which job each host gets of it. Commands are in ``job_plan``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mlcube_remote.commands.model import Options
from mlcube_remote.cube.model import NOTHING, Cube
from mlcube_remote.cube.system_settings import NO_SYSTEM_SETTINGS, SystemSettings
from mlcube_remote.inventory.model import Host
from mlcube_remote.runs.ids import job_id, label
from mlcube_remote.secret import Secret
from mlcube_remote.trust.requests import NO_TRUST, Trust

if TYPE_CHECKING:
    from mlcube_remote.plan.trials import Trial

DEFAULT_GRACE_S = 10
"""Time that a task has to end when it is stopped."""


@attrs.frozen(kw_only=True)
class ClientEnvironment:
    """What plans depend on besides their input: this machine's variables and home directory."""

    home: Path
    variables: Mapping[str, str] = attrs.field(repr=False)
    """Environment variables, which may be secret."""

    @classmethod
    def current(cls) -> ClientEnvironment:
        """Read the environment of this process."""
        return cls(home=Path.home(), variables=dict(os.environ))


@attrs.frozen(kw_only=True, eq=False)
class RunRequest:
    """One ``run`` or ``configure`` command; two of them are never the same."""

    cube: Cube
    hosts: tuple[Host, ...]
    tasks: tuple[str, ...]
    run_id: str
    platform: str | None = None
    """Name of a platform, or of one in ``system``."""
    system: SystemSettings = NO_SYSTEM_SETTINGS
    """The user's own platforms."""
    options: Options = Options()
    env: Mapping[str, Secret] = attrs.field(factory=dict)
    """Variables for the container; they override those of the host."""
    trust: Trust = NO_TRUST
    """What the cube may ask for beyond its own."""
    allow_missing: frozenset[str] = frozenset()
    """Names of inputs without which a task may start."""
    copy_links: bool = False
    """Whether to send what links in inputs lead to, to all hosts."""
    image_sources: Mapping[str, Host] = attrs.field(factory=dict)
    """Host → the host that builds or pulls its image, which may be itself; a host that is missing
    gets its image from nowhere else."""
    configure_only: bool = False
    inventory: str | None = None
    """Absolute path of the inventory file, if there is one."""
    inventory_cube: str | None = None
    """Directory of the cube that the inventory is part of; ``None``: it is the user's own."""
    fresh_outputs: bool = False
    """Whether a task fails that ends with 0 and leaves an output as it was before the run."""
    timeout: int | None = None
    """Time limit per task in seconds; the host stops the task when it expires."""
    grace: int = DEFAULT_GRACE_S
    """Seconds between SIGTERM and SIGKILL when a task is stopped."""
    again: Mapping[str, int] | None = None
    """Jobs to rerun: job name → number of the attempt. ``None``: run all jobs for the first
    time."""
    trials: tuple[Trial, ...] = ()
    """The jobs of a sweep, or the shards; the hosts are their pool. Empty: one job per host."""
    name: str = ""
    """The name that the user gave the run."""
    command: tuple[str, ...] = ()
    """The command line that started the run, without secrets; empty: there was none."""
    detach: bool = False
    """Whether the client exits after it has launched the jobs, and so cannot place more later."""
    client: ClientEnvironment = attrs.field(factory=ClientEnvironment.current)


@attrs.frozen(kw_only=True)
class JobSpec:
    """Which tasks run on which host: what identifies one job, before anything is derived."""

    request: RunRequest
    host: Host
    platform: str
    results: Path | None
    """Directory for outputs if the run has several jobs; ``None``: the workspace."""
    user_settings: Mapping[str, Any] = NOTHING
    """The user's own settings of the platform, for all hosts."""
    trial: Trial | None = None
    """The sweep point or shard; ``None``: this is the only job of its host."""
    attempt: int = 1
    """Number of this attempt, counted from 1."""

    @property
    def cube(self) -> Cube:
        """The cube with the values of this job."""
        return self.request.cube if self.trial is None else self.trial.cube

    @property
    def copies_links(self) -> bool:
        """Whether to send what links in inputs lead to."""
        return self.request.copy_links or self.host.copy_links

    @property
    def image_source(self) -> Host | None:
        """The host that the image comes from; ``None``: the job's host builds or pulls it."""
        return self.request.image_sources.get(self.host.name)

    @property
    def own_name(self) -> str:
        """Name of the job within a sweep; empty if each host has one job."""
        return "" if self.trial is None else self.trial.name

    @property
    def name(self) -> str:
        """Name that is unique among the jobs of the run."""
        return self.own_name or self.host.name

    @property
    def label(self) -> str:
        """Name for messages."""
        return label(self.own_name, self.host.name)

    @property
    def id(self) -> str:
        """Id of the job, which also names its directory on the host."""
        suffix = f".{self.attempt}" if self.attempt > 1 else ""
        return job_id(self.request.run_id, f"{self.name}{suffix}")

    @property
    def point(self) -> dict[str, str]:
        """Values of the sweep point: parameter → value."""
        return {} if self.trial is None else dict(self.trial.point.values)

    @property
    def environment(self) -> dict[str, Secret]:
        """The variables of the host and of the command line, which override the former."""
        variables = self.request.client.variables
        inherited = {
            name: Secret(variables[name]) if value is None else value
            for name, value in self.host.env.items()
            if value is not None or name in variables
        }
        return {**inherited, **self.request.env}

    @property
    def parameters(self) -> Mapping[str, str]:
        """Values from the command line, those of the sweep point included."""
        tasks = self.request.cube.tasks
        given = {
            parameter.name: parameter.value
            for name in self.request.tasks
            for parameter in tasks[name].parameters
            if parameter.given
        }
        if self.trial is not None and not given:
            return self.trial.point.values
        return {**given, **self.point}
